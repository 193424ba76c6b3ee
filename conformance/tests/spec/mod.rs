//! SPEC.md says what the table says.

#[test]
fn specification_and_table_agree() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../SPEC.md");
    let text = std::fs::read_to_string(path).unwrap();
    let differences = session_conformance::spec::differences(&text);
    assert!(differences.is_empty(), "\n{}\n", differences.join("\n"));
}
