//! Joining the changes of two requests that loaded the same session.

use std::collections::HashSet;

use crate::base::Values;

/// The values after both requests: `live` is stored, `ours` is the result of this request, and this request began from
/// `base`. `None` if both have changed one value, unless both have removed it. To equal ends too: two requests that add one
/// to a counter set the same number, and one of the additions would be lost.
pub(crate) fn merge<V: Clone + PartialEq>(
    base: &Values<V>,
    ours: &Values<V>,
    live: &Values<V>,
) -> Option<Values<V>> {
    let mut merged = live.clone();
    for name in base.keys().chain(ours.keys()).collect::<HashSet<_>>() {
        let (before, here, there) = (base.get(name), ours.get(name), live.get(name));
        if here == before || (here.is_none() && there.is_none()) {
            continue;
        }
        if there != before {
            return None;
        }
        match here {
            Some(value) => drop(merged.insert(name.clone(), value.clone())),
            None => drop(merged.remove(name)),
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use proptest::collection::hash_map;
    use proptest::prelude::*;

    use super::*;

    fn values(pairs: &[(&str, u8)]) -> Values<u8> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn changes_of_different_values_are_both_kept() {
        let base = values(&[("a", 1), ("b", 1), ("c", 1)]);
        let ours = values(&[("a", 2), ("b", 1), ("d", 4)]);
        let live = values(&[("a", 1), ("c", 1), ("e", 5)]);
        assert_eq!(merge(&base, &ours, &live), Some(values(&[("a", 2), ("d", 4), ("e", 5)])));
    }

    #[test]
    fn one_value_changed_by_both_is_a_conflict() {
        let base = values(&[("a", 1)]);
        for (ours, live) in [
            (values(&[("a", 2)]), values(&[("a", 3)])),
            (values(&[("a", 2)]), values(&[])),
            (values(&[]), values(&[("a", 3)])),
            (values(&[("a", 2)]), values(&[("a", 2)])),
        ] {
            assert_eq!(merge(&base, &ours, &live), None);
        }
        for added in [2, 1] {
            assert_eq!(merge(&values(&[]), &base, &values(&[("a", added)])), None, "both have added it");
        }
        assert_eq!(merge(&base, &values(&[]), &values(&[])), Some(values(&[])), "both have removed it");
    }

    proptest! {
        #[test]
        fn result_is_that_of_either_order(
            base in hash_map("[a-d]", 0u8..3, 0..4),
            ours in hash_map("[a-d]", 0u8..3, 0..4),
            live in hash_map("[a-d]", 0u8..3, 0..4),
        ) {
            let merged = merge(&base, &ours, &live);
            prop_assert_eq!(&merged, &merge(&base, &live, &ours));
            prop_assert_eq!(merge(&base, &base, &live), Some(live.clone()));
            prop_assert_eq!(merge(&base, &ours, &base), Some(ours.clone()));
            if let Some(merged) = merged {
                for name in ["a", "b", "c", "d"] {
                    let change = [&ours, &live].map(|one| one.get(name)).into_iter();
                    let expected = change.clone().find(|one| *one != base.get(name));
                    prop_assert_eq!(merged.get(name), expected.unwrap_or(base.get(name)));
                }
            }
        }
    }
}
