//! Each misuse of `#[grid::service]` is one error, at the token it is about, that says what to write instead.
//!
//! The files in `ui/` are named for the misuse, the `.stderr` beside each is what the compiler says. After a change of a
//! message: `TRYBUILD=overwrite cargo test -p grid-tests --test ui`, and read the difference.

use std::process::Command;

#[test]
fn each_misuse_is_one_error_that_says_what_to_write() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/*.rs");
    let rustc = Command::new("rustc").arg("--version").output().expect("rustc is in the path");
    let rustc = String::from_utf8_lossy(&rustc.stdout);
    if rustc.starts_with(WORDED_BY) {
        cases.compile_fail("ui/rustc/*.rs");
    } else {
        println!("ui/rustc was worded by {WORDED_BY} and is not held against {rustc}");
    }
}

/// Around the macro's own words, the errors in `ui/rustc` have words of the compiler, which change with its releases.
const WORDED_BY: &str = "rustc 1.95.";
