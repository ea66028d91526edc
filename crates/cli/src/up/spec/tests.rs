use super::*;
use crate::config::ConfigVariables;
use crate::error::CliError;
use std::collections::BTreeMap;
use std::path::Path;

fn variables(env: &[(&str, &str)]) -> ConfigVariables {
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    ConfigVariables {
        workspace: "/".into(),
        env,
    }
}

fn resolved(specs: &[&str], options: PerServerOptions) -> Result<Vec<ResolvedUpstream>, CliError> {
    let parse = |text: &&str| {
        if text.contains("://") {
            http(text).unwrap()
        } else {
            stdio(text).unwrap()
        }
    };
    resolve(
        specs.iter().map(parse).collect(),
        options,
        &variables(&[("TOKEN", "s3cret")]),
    )
}

fn headers(upstream: &ResolvedUpstream) -> Vec<String> {
    let UpstreamReplicas::Urls(urls) = &upstream.replicas else {
        panic!("a command")
    };
    let shown =
        |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    urls.iter()
        .flat_map(|(_, headers)| headers.iter().map(shown))
        .collect()
}

#[test]
fn a_name_before_a_url_is_recognised() {
    let url = |text: &str| http(text).map(|spec| (spec.name, spec.endpoint));
    let endpoint = |url: &str| UpstreamEndpoint::Url {
        url: url.into(),
        headers: Vec::new(),
    };
    assert_eq!(
        url("http://x/mcp?a=b"),
        Ok((None, endpoint("http://x/mcp?a=b")))
    );
    assert_eq!(
        url("w=http://x/mcp?a=b"),
        Ok((Some("w".into()), endpoint("http://x/mcp?a=b")))
    );
    for bad in ["localhost:8080", "w=ftp://x/", "a__b=http://x/", ""] {
        assert!(url(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_name_and_variables_before_a_command_are_recognised() {
    let parsed = stdio("files=TOKEN='a b' HOST=x python -m 'my server' K=v").unwrap();
    assert_eq!(parsed.name.as_deref(), Some("files"));
    let UpstreamEndpoint::Command(command) = parsed.endpoint else {
        panic!()
    };
    assert_eq!(
        command.env,
        [("TOKEN".into(), "a b".into()), ("HOST".into(), "x".into())]
    );
    assert_eq!(
        (&*command.program, command.args),
        (
            "python",
            vec!["-m".into(), "my server".into(), "K=v".into()]
        )
    );
    assert_eq!(stdio("TOKEN=x server").unwrap().name, None);
    for bad in ["", "TOKEN=x", "name=", "a 'b"] {
        assert!(stdio(bad).is_err(), "{bad}");
    }
}

#[test]
fn urls_with_the_same_name_are_replicas_and_unnamed_ones_are_not() {
    let all = [
        "a=http://127.0.0.1:1/",
        "a=http://127.0.0.1:2/",
        "http://127.0.0.1:3/",
        "http://127.0.0.1:3/x",
    ];
    let count = |upstream: &ResolvedUpstream| match &upstream.replicas {
        UpstreamReplicas::Urls(urls) => urls.len(),
        UpstreamReplicas::Command(_) => 0,
    };
    let resolved = resolved(&all, PerServerOptions::default()).unwrap();
    let names: Vec<_> = resolved
        .iter()
        .map(|upstream| (&*upstream.name, count(upstream)))
        .collect();
    assert_eq!(names, [("a", 2), ("port-3", 1), ("port-3-2", 1)]);
}

#[test]
fn options_apply_to_the_named_server_or_to_all() {
    let options = PerServerOptions {
        eras: vec![era("legacy").unwrap(), era("b=modern").unwrap()],
        sharing: vec![sharing("a=per-client").unwrap()],
        ..PerServerOptions::default()
    };
    let resolved = resolved(&["a=server --x", "b=http://127.0.0.1:1/"], options).unwrap();
    assert_eq!(
        (resolved[0].era, resolved[1].era),
        (Era::Legacy, Era::Modern)
    );
    assert_eq!(
        (resolved[0].sharing, resolved[1].sharing),
        (SessionScope::Client, SessionScope::Principal)
    );
    for bad in ["never", "a=never", "a__b=legacy", ""] {
        assert!(era(bad).is_err() && sharing(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_option_for_an_unknown_server_lists_the_servers() {
    for options in [
        PerServerOptions {
            eras: vec![era("c=legacy").unwrap()],
            ..PerServerOptions::default()
        },
        PerServerOptions {
            sharing: vec![sharing("c=shared").unwrap()],
            ..PerServerOptions::default()
        },
        PerServerOptions {
            headers: vec![header("c=X: y").unwrap()],
            ..PerServerOptions::default()
        },
    ] {
        let error = resolved(&["a=http://127.0.0.1:1/", "b=server"], options).unwrap_err();
        assert!(
            error.message.contains("\"c\"") && error.hints[0].contains("a, b"),
            "{error:?}"
        );
    }
}

#[test]
fn a_header_is_added_to_the_named_server_with_its_variables_expanded() {
    let given = |texts: &[&str]| PerServerOptions {
        headers: texts.iter().map(|text| header(text).unwrap()).collect(),
        ..PerServerOptions::default()
    };
    let two = [
        "a=http://127.0.0.1:1/",
        "a=http://127.0.0.1:2/",
        "b=http://127.0.0.1:3/",
        "c=server",
    ];
    let options = given(&[
        "a=Authorization: Bearer ${TOKEN}",
        "b = X-Key : k=v: w",
        "b=X-Other: ${NOPE:-d}",
    ]);
    let resolved_two = resolved(&two, options).unwrap();
    assert_eq!(
        headers(&resolved_two[0]),
        ["authorization: Bearer s3cret"; 2],
        "for each replica"
    );
    assert_eq!(headers(&resolved_two[1]), ["x-key: k=v: w", "x-other: d"]);
    assert!(
        !format!("{resolved_two:?}").contains("s3cret"),
        "values stay out of logs"
    );

    let one = resolved(&["http://127.0.0.1:1/", "server"], given(&["X-Key: v"])).unwrap();
    assert_eq!(headers(&one[0]), ["x-key: v"], "the only URL");
    for (specs, option, says) in [
        (&two[..], "X-Key: hunter2", "several"),
        (&two[..], "c=X-Key: hunter2", "is a command"),
        (&["server"], "X-Key: hunter2", "none"),
        (&two[..], "a=X-Key: hunter2${NOPE}", "NOPE"),
    ] {
        let error = resolved(specs, given(&[option])).unwrap_err();
        assert!(
            error.message.contains(says) && !error.message.contains("hunter2"),
            "{error:?}"
        );
    }
    for bad in ["Authorization", "a b: c", "a__b=X: y", ": x"] {
        assert!(header(bad).is_err(), "{bad}");
    }
    assert!(!format!("{:?}", header("X: hunter2").unwrap()).contains("hunter2"));
}

#[test]
fn a_configuration_sets_headers_variables_directory_era_and_sharing() {
    let file = std::env::temp_dir().join(format!("carryall-up-{}.json", std::process::id()));
    std::fs::write(
        &file,
        r#"{"mcpServers": {
            "My Files": {"command": "server", "args": ["--x"], "env": {"KEY": "${TOKEN}"}, "cwd": "/srv", "sessions": "per-client"},
            "remote": {"type": "sse", "url": "http://127.0.0.1:1/", "headers": {"Authorization": "Bearer ${TOKEN}"}, "era": "legacy"},
            "off": {"command": "never", "disabled": true}, // comments are allowed
        }}"#,
    )
    .unwrap();
    let variables = variables(&[("TOKEN", "s3cret")]);
    let specs = from_config(&file, &variables);
    let broken = from_config(&file, &self::variables(&[]));
    std::fs::remove_file(&file).unwrap();
    let options = PerServerOptions {
        headers: vec![header("remote=Authorization: other").unwrap()],
        ..Default::default()
    };
    let resolved = resolve(specs.unwrap(), options, &variables).unwrap();
    let [files, remote] = &resolved[..] else {
        panic!("{resolved:?}")
    };
    assert_eq!(
        (&*files.name, files.sharing, files.era),
        ("my-files", SessionScope::Client, Era::Auto)
    );
    let UpstreamReplicas::Command(command) = &files.replicas else {
        panic!("{files:?}")
    };
    assert_eq!(command.env, [("KEY".into(), "s3cret".into())]);
    assert_eq!(command.cwd.as_deref(), Some(Path::new("/srv")));
    assert_eq!((&*remote.name, remote.era), ("remote", Era::Legacy));
    assert_eq!(
        headers(remote),
        ["authorization: other"],
        "the command line wins"
    );
    let broken = broken.unwrap_err();
    assert!(
        broken.message.contains("TOKEN") && broken.message.contains("--config"),
        "{broken:?}"
    );
}
