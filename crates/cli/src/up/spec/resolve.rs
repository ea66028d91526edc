//! Names servers, groups replicas, and applies the options that name servers.

use super::{
    HeaderOption, PerServerOptions, Scoped, UpstreamEndpoint, UpstreamSpec, name, sensitive_header,
};
use crate::config::ConfigVariables;
use crate::error::CliError;
use crate::target::StdioCommand;
use carryall::{Era, SessionScope};
use http::{HeaderName, HeaderValue};

/// A server with its name and all its replicas.
#[derive(Clone, Debug)]
pub(in crate::up) struct ResolvedUpstream {
    pub(in crate::up) name: String,
    pub(in crate::up) replicas: UpstreamReplicas,
    pub(in crate::up) era: Era,
    pub(in crate::up) sharing: SessionScope,
}

#[derive(Clone, Debug)]
pub(in crate::up) enum UpstreamReplicas {
    /// The URL of each replica, and the headers for every request to it.
    Urls(Vec<(String, Vec<(HeaderName, HeaderValue)>)>),
    /// A single process.
    Command(StdioCommand),
}

/// Names servers, groups replicas, and applies the options that name servers.
///
/// # Errors
/// Options for unknown servers, and headers whose variables are not set.
pub(in crate::up) fn resolve(
    specs: Vec<UpstreamSpec>,
    options: PerServerOptions,
    variables: &ConfigVariables,
) -> Result<Vec<ResolvedUpstream>, CliError> {
    let mut all: Vec<ResolvedUpstream> = Vec::new();
    for UpstreamSpec {
        name,
        endpoint,
        era,
        sharing,
    } in specs
    {
        let known = name
            .as_ref()
            .and_then(|name| all.iter_mut().find(|known| known.name == *name));
        let (replicas, derived) = match endpoint {
            UpstreamEndpoint::Url { url, headers } => {
                // A URL with a known name is another replica of that server.
                if let Some(ResolvedUpstream {
                    replicas: UpstreamReplicas::Urls(urls),
                    ..
                }) = known
                {
                    urls.push((url, headers));
                    continue;
                }
                let derived = name::from_url(&url);
                (UpstreamReplicas::Urls(vec![(url, headers)]), derived)
            }
            UpstreamEndpoint::Command(command) => {
                let words = std::iter::once(&command.program)
                    .chain(&command.args)
                    .cloned()
                    .collect::<Vec<_>>();
                (
                    UpstreamReplicas::Command(command),
                    name::from_command(&words),
                )
            }
        };
        if is_known(&all, name.as_deref()) {
            let name = name.unwrap_or_default();
            return Err(CliError::usage(format!("two servers are called {name:?}"))
                .hint("only URLs can be replicas of one server: rename one of the servers"));
        }
        let name = name.unwrap_or_else(|| unused_name(&all, &derived));
        let (era, sharing) = (era.unwrap_or_default(), sharing.unwrap_or_default());
        all.push(ResolvedUpstream {
            name,
            replicas,
            era,
            sharing,
        });
    }
    for Scoped { name, value } in options.eras {
        for_each(&mut all, "--era", name.as_deref(), |upstream| {
            upstream.era = value.into()
        })?;
    }
    for Scoped { name, value } in options.sharing {
        for_each(&mut all, "--sessions", name.as_deref(), |upstream| {
            upstream.sharing = value
        })?;
    }
    for Scoped { name, value } in options.headers {
        add_header(&mut all, name.as_deref(), &value, variables)?;
    }
    Ok(all)
}

fn is_known(all: &[ResolvedUpstream], name: Option<&str>) -> bool {
    name.is_some_and(|name| all.iter().any(|known| known.name == name))
}

/// Applies an option to the server it names, or to all.
fn for_each(
    all: &mut [ResolvedUpstream],
    option: &str,
    name: Option<&str>,
    mut apply: impl FnMut(&mut ResolvedUpstream),
) -> Result<(), CliError> {
    if name.is_some() && !is_known(all, name) {
        return Err(unknown_server(all, option, name.unwrap_or_default()));
    }
    all.iter_mut()
        .filter(|upstream| name.is_none_or(|name| upstream.name == name))
        .for_each(&mut apply);
    Ok(())
}

/// Adds a header to one server. It is never sent to all of them, since it may be a secret of one.
fn add_header(
    all: &mut [ResolvedUpstream],
    name: Option<&str>,
    option: &HeaderOption,
    variables: &ConfigVariables,
) -> Result<(), CliError> {
    let invalid = |why: String| CliError::usage(format!("--header {}: {why}", option.header));
    let remote =
        |upstream: &ResolvedUpstream| matches!(upstream.replicas, UpstreamReplicas::Urls(_));
    let name = match name {
        Some(name) if !is_known(all, Some(name)) => {
            return Err(unknown_server(all, "--header", name));
        }
        Some(name) => name.to_owned(),
        None => {
            let mut remote = all.iter().filter(|upstream| remote(upstream));
            match (remote.next(), remote.next()) {
                (Some(only), None) => only.name.clone(),
                (None, _) => {
                    return Err(invalid(
                        "headers are for servers at URLs, and there is none".into(),
                    ));
                }
                _ => {
                    return Err(invalid(
                        "there are several servers at URLs, and the option does not name one"
                            .into(),
                    )
                    .hint(format!(
                        "write --header 'NAME={}: ...'; {}",
                        option.header,
                        names(all)
                    )));
                }
            }
        }
    };
    let value = variables.expand_text(&option.value).map_err(invalid)?;
    let (header, value) = sensitive_header(option.header.as_str(), &value).map_err(invalid)?;
    match all
        .iter_mut()
        .find(|upstream| upstream.name == name)
        .map(|upstream| &mut upstream.replicas)
    {
        Some(UpstreamReplicas::Urls(urls)) => {
            for (_, headers) in urls {
                // The command line takes precedence over the configuration.
                headers.retain(|(other, _)| *other != header);
                headers.push((header.clone(), value.clone()));
            }
            Ok(())
        }
        _ => Err(invalid(format!(
            "{name} is a command, and headers are for servers at URLs"
        ))
        .hint("to pass it a secret, set a variable before its command")),
    }
}

fn unknown_server(all: &[ResolvedUpstream], option: &str, name: &str) -> CliError {
    CliError::usage(format!("{option}: there is no server called {name:?}")).hint(names(all))
}

fn names(all: &[ResolvedUpstream]) -> String {
    let names: Vec<&str> = all.iter().map(|upstream| &*upstream.name).collect();
    format!("the servers are: {}", names.join(", "))
}

/// Returns the name, with a number if it is in use.
fn unused_name(all: &[ResolvedUpstream], name: &str) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let unused = |name: &String| !is_known(all, Some(name));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(unused)
        .unwrap_or_default()
}
