use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary directory, removed on drop.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "carryall-trust-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> ConfigFile {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        ConfigFile::read(&path).unwrap()
    }

    fn approvals(&self) -> ApprovalStore {
        ApprovalStore::new(Some(self.0.join("state/carryall/approved.json")))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_approval_holds_for_one_path_and_one_content() {
    let dir = Dir::new();
    let (file, copy) = (dir.file("a.json", "{}"), dir.file("b.json", "{}"));
    let approvals = dir.approvals();
    assert_eq!(approvals.check(&file), ApprovalStatus::Unknown);
    approvals.approve(&file).unwrap();
    assert_eq!(approvals.check(&file), ApprovalStatus::Approved);
    assert_eq!(
        approvals.check(&copy),
        ApprovalStatus::Unknown,
        "the same content at another path is not approved"
    );
    assert_eq!(
        approvals.check(&dir.file("a.json", "{ }")),
        ApprovalStatus::Changed
    );
    assert!(approvals.revoke(&file.path).unwrap() && !approvals.revoke(&file.path).unwrap());
    assert_eq!(approvals.check(&file), ApprovalStatus::Unknown);
}

#[test]
fn every_path_to_a_file_has_the_same_approval() {
    let dir = Dir::new();
    let file = dir.file("a.json", "{}");
    dir.approvals().approve(&file).unwrap();
    let detour = ConfigFile::read(
        &dir.0
            .join("../")
            .join(dir.0.file_name().unwrap())
            .join("a.json"),
    )
    .unwrap();
    assert_eq!(dir.approvals().check(&detour), ApprovalStatus::Approved);
}

#[cfg(unix)]
#[test]
fn approvals_are_readable_by_the_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = Dir::new();
    dir.approvals().approve(&dir.file("a.json", "{}")).unwrap();
    let mode = |path: &str| {
        std::fs::metadata(dir.0.join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("state/carryall/approved.json"), mode("state/carryall")),
        (0o600, 0o700)
    );
}

#[test]
fn an_unreadable_store_approves_nothing() {
    let dir = Dir::new();
    let file = dir.file("a.json", "{}");
    dir.approvals().approve(&file).unwrap();
    std::fs::write(dir.0.join("state/carryall/approved.json"), "nonsense").unwrap();
    assert_eq!(dir.approvals().check(&file), ApprovalStatus::Unknown);
    dir.approvals().approve(&file).unwrap();
    assert_eq!(dir.approvals().check(&file), ApprovalStatus::Approved);
    assert!(ApprovalStore::default().approve(&file).is_err());
    assert_eq!(
        ApprovalStore::default().check(&file),
        ApprovalStatus::Unknown
    );
}

#[test]
fn a_summary_begins_with_the_requested_server_and_has_one_line_per_server() {
    let dir = Dir::new();
    let file = dir.file(
        "a.json",
        r#"{"mcpServers": {"a": {"url": "http://a/"}, "z": {"command": "run", "args": ["x\n  b: calls nobody"]}}}"#,
    );
    let lines = crate::config::summary(&file, Some("z"));
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("z: runs run ") && lines[1] == "a: calls http://a/",
        "{lines:?}"
    );
}
