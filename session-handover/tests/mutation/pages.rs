//! Damaged files of Cache::FastMmap.

use session_handover::perl::fastmmap;

use crate::{bounds, run, seeds, walk};

#[test]
fn damaged_pages_are_an_error_or_entries() {
    let seeds = seeds(&["cache-fastmmap/pages.fm", "catalyst/fastmmap.fm"]);
    run(&seeds, |input| {
        if let Ok(entries) = fastmmap::read(input, Some(4096), fastmmap::Serializer::Storable, &bounds()) {
            entries.into_iter().for_each(|entry| walk(entry.value));
        }
        let _ = fastmmap::read(input, None, fastmmap::Serializer::Raw, &bounds());
        let _ = fastmmap::page_size(input);
        for key in [&b"scalar"[..], b"session:e6b2427c6ea454bc6550a64685e81ca9175582ca"] {
            // A removal stays in its page, and only takes entries away.
            let mut pages = input.to_vec();
            pages.chunks_mut(4096).for_each(|page| {
                let _ = fastmmap::find(page, 3, key);
                if let Ok(Some(patch)) = fastmmap::removal(page, 3, key) {
                    page[patch.offset..patch.offset + patch.bytes.len()].copy_from_slice(&patch.bytes);
                    assert_ne!(fastmmap::removal(page, 3, key).ok().flatten(), Some(patch));
                }
            });
        }
    });
}
