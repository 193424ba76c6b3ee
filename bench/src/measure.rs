//! Runs the groups: the subjects take turns, so that noise affects all of them, and medians count.

use std::time::Duration;

use serde::Serialize;
use session_bench_work::{Args, Work, name};

use crate::console::{complain, progress};
use crate::groups::{Against, Area, Compare, Group};
use crate::homes::Figures;
use crate::programs::{FEWER, Programs};

/// The number and length of runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    runs: usize,
    measured: Duration,
    warm_up: Duration,
}

impl Effort {
    pub(crate) const FULL: Self =
        Self { runs: 5, measured: Duration::from_millis(1_000), warm_up: Duration::from_millis(300) };
    pub(crate) const QUICK: Self =
        Self { runs: 3, measured: Duration::from_millis(300), warm_up: Duration::from_millis(100) };

    fn runs_of(self, group: &Group) -> usize {
        match group.args.work {
            // Counted figures are the same in each run.
            Work::Heap => 1,
            // A run with a million records takes as long as several others.
            _ if matches!(group.area, Area::Scale | Area::Large) => self.runs / 2 + 1,
            _ => self.runs,
        }
    }
}

/// A row that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) area: String,
    pub(crate) work: String,
    pub(crate) tasks: usize,
    pub(crate) subject: String,
    pub(crate) peer: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    pub(crate) ratio: f64,
    pub(crate) target: Option<f64>,
    pub(crate) met: Option<bool>,
    /// The longest gap of the heartbeat in any run, in milliseconds.
    pub(crate) gap_ms: Option<Gaps>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Gaps {
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
}

/// The measured rows, and whether they are all requested rows.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    pub(crate) complete: bool,
}

/// Measures all groups.
pub(crate) fn all(groups: &[Group], programs: &mut Programs, effort: Effort) -> Measured {
    let mut measured = Measured { rows: Vec::new(), complete: true };
    for group in groups {
        progress(&format!("{}: {}, {} tasks", name(group.area), group.label, group.args.tasks));
        if let Err(error) = programs.begin(group) {
            complain(&format!("{} {}: {error}", name(group.area), group.label));
        }
        let samples = in_turns(group, programs, effort);
        for compare in &group.rows {
            match row(group, compare, &samples) {
                Some(row) => measured.rows.push(row),
                None => measured.complete = false,
            }
        }
    }
    measured
}

/// The runs of each subject of the group; `None` for a subject with a failed run.
fn in_turns(group: &Group, programs: &mut Programs, effort: Effort) -> Vec<Option<Vec<Figures>>> {
    let mut samples: Vec<Option<Vec<Figures>>> = vec![Some(Vec::new()); group.subjects.len()];
    for _ in 0..effort.runs_of(group) {
        for (subject, taken) in group.subjects.iter().zip(&mut samples) {
            let Some(list) = taken else { continue };
            let args = Args { measured: effort.measured, warm_up: effort.warm_up, ..group.args.clone() };
            match programs.run(subject, args).and_then(done) {
                Ok(figures) => list.push(figures),
                Err(error) => {
                    complain(&format!("{} {}, {}: {error}", name(group.area), group.label, subject.title()));
                    *taken = None;
                }
            }
        }
    }
    samples
}

/// Rejects a run with failed operations.
fn done(figures: Figures) -> Result<Figures, String> {
    match figures.get("failed") {
        Some(failed) if *failed > 0.0 => Err(format!("{failed} operations failed")),
        _ => Ok(figures),
    }
}

fn row(group: &Group, compare: &Compare, samples: &[Option<Vec<Figures>>]) -> Option<Row> {
    let figure =
        |place: usize, name| median(samples.get(place)?.as_ref()?.iter().map(|run| run.get(name).copied()));
    let gap = |place: usize| {
        let runs = samples.get(place)?.as_ref()?;
        runs.iter()
            .map(|run| run.get("gap_ms").copied())
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .reduce(f64::max)
    };
    let ours = figure(compare.ours, compare.figure.name)?;
    let (theirs, gaps) = match compare.against {
        Against::Subject(place) => (figure(place, compare.figure.name)?, gap(compare.ours).zip(gap(place))),
        Against::Limit(limit) => (limit, None),
    };
    let work = match figure(compare.ours, FEWER) {
        Some(records) => format!("{}, only {records} records", group.label),
        None => group.label.clone(),
    };
    let ratio = if compare.figure.more_is_better { ours / theirs } else { theirs / ours };
    Some(Row {
        area: name(group.area),
        work,
        tasks: group.args.tasks,
        subject: group.title(compare.ours),
        peer: group.peer(compare),
        unit: compare.figure.unit,
        ours,
        theirs,
        ratio,
        target: compare.target,
        met: compare.target.map(|target| ratio >= target),
        gap_ms: gaps.map(|(ours, theirs)| Gaps { ours, theirs }),
    })
}

/// The median, or `None` if a figure is missing.
fn median(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect::<Option<_>>()?;
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::groups;

    #[test]
    fn the_median_is_missing_where_a_figure_is() {
        assert_eq!(median([Some(3.0), Some(1.0), Some(2.0)].into_iter()), Some(2.0));
        assert_eq!(median([Some(3.0), None].into_iter()), None);
    }

    #[test]
    fn a_run_with_failures_is_no_figure() {
        let run = |failed| Figures::from([("rate".to_owned(), 1.0), ("failed".to_owned(), failed)]);
        assert!(done(run(0.0)).is_ok());
        assert!(done(run(1.0)).is_err());
    }

    #[test]
    fn a_ratio_above_one_means_ours_is_better() {
        for group in groups() {
            for compare in &group.rows {
                let run = |value| Some(vec![Figures::from([(compare.figure.name.to_owned(), value)])]);
                let (ours, theirs) = if compare.figure.more_is_better { (2.0, 1.0) } else { (1.0, 2.0) };
                let ours = match compare.against {
                    Against::Subject(_) => ours,
                    Against::Limit(limit) => limit / 2.0,
                };
                let mut samples = vec![run(theirs); group.subjects.len()];
                samples[compare.ours] = run(ours);
                let made = row(&group, compare, &samples).unwrap();
                assert!((made.ratio - 2.0).abs() < 1e-9, "{made:?}");

                // A row without its peer is left out.
                let mut samples = vec![None; group.subjects.len()];
                samples[compare.ours] = run(ours);
                let made = row(&group, compare, &samples);
                assert_eq!(made.is_some(), matches!(compare.against, Against::Limit(_)));
            }
        }
    }
}
