use super::*;
use std::collections::BTreeMap;

fn variables(env: &[(&str, &str)]) -> Variables {
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    Variables {
        workspace: "/".into(),
        env,
    }
}

fn resolved(specs: &[&str], options: ServerOptions) -> Result<Vec<ResolvedUpstream>, Fail> {
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
    let Replicas::Urls(urls) = &upstream.replicas else {
        panic!("it is a command")
    };
    let shown =
        |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    urls.iter()
        .flat_map(|(_, headers)| headers.iter().map(shown))
        .collect()
}

#[test]
fn a_name_and_a_url_are_told_apart() {
    let url = |text: &str| http(text).map(|spec| (spec.name, spec.endpoint));
    let endpoint = |url: &str| Endpoint::Url {
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
fn a_name_variables_and_a_command_are_told_apart() {
    let parsed = stdio("files=TOKEN='a b' HOST=x python -m 'my server' K=v").unwrap();
    assert_eq!(parsed.name.as_deref(), Some("files"));
    let Endpoint::Command(process) = parsed.endpoint else {
        panic!()
    };
    assert_eq!(
        process.env,
        [("TOKEN".into(), "a b".into()), ("HOST".into(), "x".into())]
    );
    assert_eq!(
        (&*process.program, process.args),
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
fn one_name_for_several_urls_means_replicas_and_no_name_never_does() {
    let all = [
        "a=http://127.0.0.1:1/",
        "a=http://127.0.0.1:2/",
        "http://127.0.0.1:3/",
        "http://127.0.0.1:3/x",
    ];
    let count = |upstream: &ResolvedUpstream| match &upstream.replicas {
        Replicas::Urls(urls) => urls.len(),
        Replicas::Command(_) => 0,
    };
    let resolved = resolved(&all, ServerOptions::default()).unwrap();
    let names: Vec<_> = resolved
        .iter()
        .map(|upstream| (&*upstream.name, count(upstream)))
        .collect();
    assert_eq!(names, [("a", 2), ("port-3", 1), ("port-3-2", 1)]);
}

#[test]
fn options_hold_for_the_server_that_they_name_or_for_all() {
    let options = ServerOptions {
        eras: vec![era("legacy").unwrap(), era("b=modern").unwrap()],
        sharing: vec![sharing("a=per-client").unwrap()],
        ..ServerOptions::default()
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
fn an_option_for_a_server_that_is_not_there_names_those_that_are() {
    for options in [
        ServerOptions {
            eras: vec![era("c=legacy").unwrap()],
            ..ServerOptions::default()
        },
        ServerOptions {
            sharing: vec![sharing("c=shared").unwrap()],
            ..ServerOptions::default()
        },
        ServerOptions {
            headers: vec![header("c=X: y").unwrap()],
            ..ServerOptions::default()
        },
    ] {
        let fail = resolved(&["a=http://127.0.0.1:1/", "b=server"], options).unwrap_err();
        assert!(
            fail.what.contains("\"c\"") && fail.hints[0].contains("a, b"),
            "{fail:?}"
        );
    }
}

#[test]
fn a_header_goes_to_the_server_that_it_names_with_its_variables_expanded() {
    let given = |texts: &[&str]| ServerOptions {
        headers: texts.iter().map(|text| header(text).unwrap()).collect(),
        ..ServerOptions::default()
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
    assert_eq!(headers(&one[0]), ["x-key: v"], "there is but one");
    for (specs, option, says) in [
        (&two[..], "X-Key: hunter2", "several"),
        (&two[..], "c=X-Key: hunter2", "started here"),
        (&["server"], "X-Key: hunter2", "none"),
        (&two[..], "a=X-Key: hunter2${NOPE}", "NOPE"),
    ] {
        let fail = resolved(specs, given(&[option])).unwrap_err();
        assert!(
            fail.what.contains(says) && !fail.what.contains("hunter2"),
            "{fail:?}"
        );
    }
    for bad in ["Authorization", "a b: c", "a__b=X: y", ": x"] {
        assert!(header(bad).is_err(), "{bad}");
    }
    assert!(!format!("{:?}", header("X: hunter2").unwrap()).contains("hunter2"));
}

#[test]
fn a_configuration_gives_headers_variables_directory_era_and_sharing() {
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
    let specs = configured(&file, &variables);
    let broken = configured(&file, &self::variables(&[]));
    std::fs::remove_file(&file).unwrap();
    let options = ServerOptions {
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
    let Replicas::Command(process) = &files.replicas else {
        panic!("{files:?}")
    };
    assert_eq!(process.env, [("KEY".into(), "s3cret".into())]);
    assert_eq!(process.cwd.as_deref(), Some(Path::new("/srv")));
    assert_eq!((&*remote.name, remote.era), ("remote", Era::Legacy));
    assert_eq!(
        headers(remote),
        ["authorization: other"],
        "the command line wins"
    );
    let broken = broken.unwrap_err();
    assert!(
        broken.what.contains("TOKEN") && broken.what.contains("--config"),
        "{broken:?}"
    );
}
