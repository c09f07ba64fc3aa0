//! Tokens are never shown, nor kept.

use std::fs;
use std::path::Path;

use grid_standin::{PASSWORD, TOKEN, Trouble, USER};

use crate::desk::Desk;

/// Every file below a folder, but the token files themselves.
fn texts(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts(&path, found);
        } else if !path.file_name().is_some_and(|name| name == "token" || name == "login") {
            found.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
}

#[test]
fn no_token_is_in_what_is_said_or_kept_whether_services_answer_or_fail() {
    let desk = Desk::new().zone("DE", "electricity-maps", "TOKEN").zone("CAISO_NORTH", "watttime", "token_file = \"login\"");
    desk.file("login", &format!("{USER}:{PASSWORD}\n"), 0o600);
    let mut said = String::new();
    for trouble in [
        None,
        Some(Trouble::Status { status: 401, retry_after: None }),
        Some(Trouble::Html),
        Some(Trouble::Closed),
        Some(Trouble::OtherShape),
    ] {
        desk.server.calm();
        if let Some(trouble) = trouble {
            desk.server.trouble("/", trouble);
        }
        let mut command = desk.command(&["fetch", "--once", "--force", "--verbose", "--timeout=2s"]);
        let output = command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1").output().expect("running");
        said += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
        said += &desk.run(&["check", "--timeout=2s"]).out;
    }
    assert!(said.contains("zone 'DE'") && said.contains("zone 'CAISO_NORTH'"), "{said}");
    let mut kept = vec![("what was said".to_owned(), said.into_bytes())];
    texts(desk.folder(), &mut kept);
    assert!(kept.iter().any(|(name, _)| name.contains("/.fetch/")), "the state is searched");
    // The session's token, too, which a log-in brings.
    let sent = desk.server.seen();
    let bearers = sent
        .iter()
        .flat_map(|seen| seen.headers.iter())
        .filter(|(name, _)| name == "authorization")
        .map(|(_, value)| value.rsplit(' ').next().unwrap_or_default().to_owned());
    let secrets: Vec<String> = [TOKEN, PASSWORD].into_iter().map(str::to_owned).chain(bearers).collect();
    assert!(secrets.len() > 2, "a log-in was sent");
    for (name, bytes) in kept {
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds '{secret}'");
        }
    }
}

#[test]
fn a_token_that_everybody_can_read_is_refused_and_one_that_is_not_there_is_named() {
    let desk = Desk::new().zone("DE", "electricity-maps", "TOKEN").zone("FR", "electricity-maps", "token_file = \"nowhere\"");
    desk.file("token", TOKEN, 0o644);
    let said = desk.fetch();
    assert_eq!((said.code, desk.server.seen().len()), (4, 0), "nobody is asked");
    let path = |name: &str| desk.folder().join(name).display().to_string();
    for line in [
        format!("token_file {}: everybody on this host can read it; chmod o= it, and think of the token as known", path("token")),
        format!("token_file {}: ", path("nowhere")),
    ] {
        assert!(said.err.contains(&line), "{line}: {}", said.err);
    }
    desk.file("token", TOKEN, 0o640);
    assert_eq!(desk.run(&["fetch", "--once", "--zone=DE"]).code, 0, "its group may");
}
