//! Derives names for servers that were not given one.

/// Derives a name from a URL: the first significant part of the host name, or the port if the host
/// has no name.
pub(super) fn from_url(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(url::Url::host);
    let name = match host {
        Some(url::Host::Domain(domain)) if domain != "localhost" => {
            let part = domain
                .split('.')
                .find(|part| !["www", "mcp", "api"].contains(part));
            part.unwrap_or(domain).to_owned()
        }
        _ => format!(
            "port-{}",
            parsed
                .as_ref()
                .and_then(url::Url::port_or_known_default)
                .unwrap_or_default()
        ),
    };
    from_text(&name)
}

/// Derives a name from a command: its first significant word, which is neither a generic runner nor
/// a flag.
pub(super) fn from_command(words: &[String]) -> String {
    const RUNNERS: [&str; 14] = [
        "npx", "uvx", "node", "python", "python3", "uv", "run", "deno", "bun", "bunx", "npm",
        "exec", "docker", "env",
    ];
    let file = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let significant = |word: &String| !word.starts_with('-') && !RUNNERS.contains(&word.as_str());
    let word = words
        .iter()
        .map(file)
        .find(significant)
        .or_else(|| words.first().map(file))
        .unwrap_or_default();
    let stem = word
        .split(['@', '.'])
        .find(|part| !part.is_empty())
        .unwrap_or_default();
    from_text(stem)
}

/// Converts text to a valid name.
pub(super) fn from_text(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().take(30) {
        let c = if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        };
        if c != '-' || !name.ends_with('-') {
            name.push(c);
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() {
        "server".into()
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    // spec: tools-16
    #[test]
    fn names_are_derived_from_the_command_line_and_never_from_the_server() {
        for (url, name) in [
            ("https://mcp.weather.example.com/mcp", "weather"),
            ("http://localhost:9001/mcp", "port-9001"),
            ("http://127.0.0.1/mcp", "port-80"),
        ] {
            assert_eq!(from_url(url), name);
        }
        for (command, name) in [
            ("npx -y @acme/My_Server@1.2", "my-server"),
            ("python3 -m server.py", "server"),
            ("/usr/bin/weather --x", "weather"),
            ("node", "node"),
            ("uvx ++", "server"),
        ] {
            assert_eq!(
                from_command(&shell::split(command).unwrap()),
                name,
                "{command}"
            );
        }
    }
}
