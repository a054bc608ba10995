//! Each misuse of `#[grid::service]` is one error, at the token it is about, that says what to write instead.
//!
//! The files in `ui/` are named for the misuse, the `.stderr` beside each is what rustc says. After a change of a
//! message: `TRYBUILD=overwrite cargo test -p grid-tests --test ui`, and read the difference.

#[test]
fn each_misuse_is_one_error_that_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
