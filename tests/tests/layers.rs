//! What the pure layers of the library know nothing of.

use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grid/src").join(folder);
    let files = std::fs::read_dir(&folder).expect("the folder is there");
    let files = files.map(|entry| entry.expect("it can be listed").path());
    let sources: Vec<_> = files.map(|path| (path.clone(), std::fs::read_to_string(path).expect("text"))).collect();
    assert!(sources.len() > 3, "{} holds the sources of a layer", folder.display());
    sources
}

/// The code of a file, without its tests, comments and docs.
fn code(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn wire_and_proto_know_no_task_lock_clock_or_randomness() {
    let forbidden = [
        "tokio",
        "async ",
        ".await",
        "Mutex",
        "RwLock",
        "Atomic",
        "::now()",
        "fastrand",
        "rand::",
        "thread",
        "crate::rt",
    ];
    for (path, source) in sources("wire").into_iter().chain(sources("proto")) {
        let code = code(&source);
        for word in forbidden {
            assert!(!code.contains(word), "{} knows of {word:?}", path.display());
        }
    }
}

#[test]
fn wire_knows_nothing_above_it() {
    for (path, source) in sources("wire") {
        assert!(!code(&source).contains("use crate::"), "{} names something above wire", path.display());
    }
}

#[test]
fn rt_does_not_name_the_public_face() {
    for (path, source) in sources("rt") {
        for above in [
            "crate::connection",
            "crate::call::",
            "crate::call_future",
            "crate::manager",
            "crate::builder",
            "crate::context",
        ] {
            assert!(!code(&source).contains(above), "{} names {above}", path.display());
        }
    }
}

/// The page on security names the tests that show what it says.
#[test]
fn each_test_that_the_page_on_security_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("SECURITY.md")).expect("it is there");
    let mut sources = String::new();
    read_all(&root.join("tests/tests"), &mut sources);
    // Names of tests are sentences; other words in backticks are not.
    let names = page.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 4);
    let names: Vec<_> =
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

fn read_all(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        match path.is_dir() {
            true => read_all(&path, sources),
            false => sources.push_str(&std::fs::read_to_string(path).unwrap_or_default()),
        }
    }
}
