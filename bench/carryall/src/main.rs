//! The server and client of carryall in the benchmarks, with the same 52 tools and load loops as the
//! others.
//!
//! ```text
//! carryall-bench http PORT                            serves http://127.0.0.1:PORT/mcp
//! carryall-bench stdio                                serves standard input and output
//! carryall-bench client URL CONC SECS BYTES           calls a server over HTTP
//! carryall-bench stdio-client CONC SECS BYTES CMD...  calls a child over its stdio
//! ```

mod load;
mod tools;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> carryall::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["http", port] => carryall::serve(("127.0.0.1", port.parse()?), tools::server()).await?,
        ["stdio"] => carryall::serve_stdio(tools::server()).await?,
        ["client", url, plan @ ..] => load::http(url, load::LoadPlan::parse(plan)?).await?,
        ["stdio-client", in_flight, secs, bytes, command @ ..] => {
            load::stdio(command, load::LoadPlan::parse(&[in_flight, secs, bytes])?).await?;
        }
        _ => {
            eprintln!(
                "usage: carryall-bench http PORT | stdio | client URL CONC SECS BYTES | stdio-client CONC SECS BYTES CMD..."
            );
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
