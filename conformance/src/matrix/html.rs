//! The matrix as one page of HTML, without scripts and without other files.

use std::fmt::Write as _;

use super::badge::escaped;
use super::{Column, Matrix, Verdict};
use crate::level::Level;
use crate::table::{CLAUSES, Clause};

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{margin:2rem auto;max-width:90rem;padding:0 1rem}\
table{border-collapse:collapse}caption{text-align:left;font-weight:bold;padding:.5rem 0}\
th,td{border:1px solid #8888;padding:.2rem .5rem;text-align:left;vertical-align:top}\
thead th{position:sticky;top:0;background:Canvas}.wide{overflow-x:auto;max-height:90vh}\
.pass{background:#2a82}.na{background:#8882}.known{background:#ea04}.fail,.error,.not-run{background:#c224;font-weight:bold}\
.text{min-width:24rem}tr,li{scroll-margin-top:5rem}";

impl Matrix {
    /// The matrix as a page of HTML: the levels of each driver, every clause, and every reason. It needs no script and no
    /// other file. With one driver the reasons are in the table; with several, each cell leads to its reason below.
    #[must_use]
    pub fn html(&self) -> String {
        let title = format!("Conformance with the session store specification {}", escaped(&self.spec));
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>{STYLE}</style></head>\n<body><main>\n<h1>{title}</h1>\n"
        );
        page.push_str(
            "<p>Each row is a clause of SPEC.md, tried by the suite of session-conformance. \
             <b>pass</b>: the driver keeps it. <b>n/a</b>: it does not apply, for the reason given. \
             <b>fail</b>, <b>error</b> and <b>not run</b> make a run a failure. \
             <b>known</b>: it fails, as its author says.</p>\n",
        );
        self.levels(&mut page);
        self.clauses(&mut page);
        if self.drivers.len() > 1 {
            self.drivers.iter().for_each(|driver| reasons_of(driver, &mut page));
        }
        page.push_str("</main></body></html>\n");
        page
    }

    fn levels(&self, page: &mut String) {
        page.push_str("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Levels\">\n");
        page.push_str("<table><caption>Levels</caption>\n<thead><tr><th scope=\"col\">driver</th>");
        let levels: Vec<Level> = Level::ALL.iter().copied().filter(|level| has_clauses(*level)).collect();
        for level in &levels {
            let _ = write!(page, "<th scope=\"col\">{level}</th>");
        }
        page.push_str("</tr></thead>\n<tbody>");
        for driver in &self.drivers {
            let name = escaped(&format!("{} {}", driver.name, driver.version));
            let _ = write!(page, "<tr><th scope=\"row\">{name}</th>");
            for level in &levels {
                let _ = write!(page, "<td>{}</td>", driver.at(*level));
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</tbody></table></div>\n");
    }

    fn clauses(&self, page: &mut String) {
        page.push_str("<h2>Clauses</h2>\n");
        page.push_str("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Clauses\">\n");
        page.push_str("<table><caption>Every clause</caption>\n<thead><tr><th scope=\"col\">clause</th>");
        for driver in &self.drivers {
            let _ = write!(page, "<th scope=\"col\">{}</th>", escaped(&driver.name));
        }
        if self.drivers.len() == 1 {
            page.push_str("<th scope=\"col\">reason</th>");
        }
        page.push_str("<th scope=\"col\">strength</th><th scope=\"col\">sentence</th></tr></thead>\n");
        let columns = self.drivers.len() + 3 + usize::from(self.drivers.len() == 1);
        let mut level = None;
        for (index, clause) in CLAUSES.iter().enumerate() {
            if level != Some(clause.level) {
                let end = if level.is_some() { "</tbody>\n" } else { "" };
                level = Some(clause.level);
                let heading =
                    format!("<th scope=\"rowgroup\" colspan=\"{columns}\">Level {}</th>", clause.level);
                let _ = writeln!(page, "{end}<tbody><tr>{heading}</tr>");
            }
            self.row(index, clause, page);
        }
        page.push_str("</tbody></table></div>\n");
    }

    fn row(&self, index: usize, clause: &Clause, page: &mut String) {
        let id = clause.id;
        let _ = write!(page, "<tr id=\"{id}\"><th scope=\"row\">{id}</th>");
        for driver in &self.drivers {
            let Some(cell) = driver.clauses.get(index) else { continue };
            let mut shown = cell.verdict.to_string();
            if let Some(number) = number_of(driver, &cell.reason).filter(|_| self.drivers.len() > 1) {
                shown = format!("<a href=\"#{}-{number}\">{shown} ({number})</a>", escaped(&anchor(driver)));
            }
            let _ = write!(page, "<td class=\"{}\">{shown}</td>", class(cell.verdict));
            if self.drivers.len() == 1 {
                let _ = write!(page, "<td>{}</td>", escaped(&cell.reason));
            }
        }
        let (strength, text) = (clause.strength(), marked(clause.text));
        let _ = writeln!(page, "<td>{strength}</td><td class=\"text\">{text}</td></tr>");
    }
}

fn has_clauses(level: Level) -> bool {
    CLAUSES.iter().any(|clause| clause.level == level)
}

/// The reasons of a driver, as a list whose numbers stand in its cells.
fn reasons_of(driver: &Column, page: &mut String) {
    let name = escaped(&format!("{} {}", driver.name, driver.version));
    let _ = writeln!(page, "<h2>{name}</h2>\n<p>{}</p>\n<ol>", driver.totals());
    for (number, (reason, ids)) in driver.reasons().into_iter().enumerate() {
        let (anchor, reason) = (escaped(&anchor(driver)), escaped(&reason));
        let _ = writeln!(
            page,
            "<li id=\"{anchor}-{}\">{reason} <small>({})</small></li>",
            number + 1,
            ids.join(" ")
        );
    }
    page.push_str("</ol>\n");
}

/// The place of a reason in the list of [`reasons_of`].
fn number_of(driver: &Column, reason: &str) -> Option<usize> {
    let listed = driver.reasons();
    let at =
        listed.iter().position(|(text, _)| text.split_once(", ").is_some_and(|(_, text)| text == reason));
    at.filter(|_| !reason.is_empty()).map(|at| at + 1)
}

/// The text as HTML, with the parts in backticks as code.
fn marked(text: &str) -> String {
    let parts = text.split('`').map(escaped).enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part }).collect()
}

fn anchor(driver: &Column) -> String {
    super::folder(&driver.name)
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::NotApplicable => "na",
        Verdict::Known => "known",
        Verdict::Fail => "fail",
        Verdict::Error => "error",
        Verdict::NotRun => "not-run",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{declare, leave};
    use super::*;
    use crate::level::Requirement;

    fn matrix(names: &[&str]) -> Matrix {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            declare(dir.path(), name, "1.2.3", &[(Requirement::Traverse, "no <list>")]);
            leave(dir.path(), name, "1.2.3", "B02", Verdict::Pass, "");
        }
        Matrix::read(dir.path(), &[]).unwrap()
    }

    #[test]
    fn page_of_one_driver_has_each_reason_beside_its_verdict() {
        let page = matrix(&["one"]).html();
        assert!(page.contains("<td class=\"na\">n/a</td><td>Traverse: no &lt;list&gt;</td>"));
        assert!(page.contains("<td class=\"pass\">pass</td><td></td>"));
        assert!(page.contains("<td class=\"not-run\">not run</td><td>its test left no result</td>"));
        assert!(
            page.contains("<code>retrieve</code> returns what the last successful <code>store</code> wrote")
        );
        assert!(!page.contains("<script") && !page.contains("http"));
    }

    #[test]
    fn page_of_several_drivers_links_each_reason() {
        let page = matrix(&["a b", "two"]).html();
        for anchor in ["a-b", "two"] {
            let number =
                page.split(&format!("<a href=\"#{anchor}-")).nth(1).unwrap().split('"').next().unwrap();
            assert!(page.contains(&format!("<li id=\"{anchor}-{number}\">")), "{anchor}-{number}");
        }
        for clause in CLAUSES.iter() {
            assert_eq!(page.matches(&format!("<tr id=\"{}\">", clause.id)).count(), 1, "{clause:?}");
        }
    }
}
