//! The stand-in services, run by hand: prints each service's `base_url` and answers until it is ended.

use std::time::Duration;

use clap::Parser;
use grid_standin::{Server, TOKEN, Trouble};

/// Answers on loopback as the grid's data services do, about a made-up grid.
#[derive(Parser)]
struct Cli {
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Milliseconds that every answer takes
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// PART:TROUBLE, such as zone=FR:status=429,2: what is asked with PART in path and query fails so
    #[arg(long)]
    trouble: Vec<String>,
}

fn main() {
    let cli = Cli::parse();
    let server = Server::start_at(cli.port);
    server.set_latency(Duration::from_millis(cli.latency_ms));
    for text in &cli.trouble {
        match text.rsplit_once(':').ok_or("give PART:TROUBLE".to_owned()).and_then(|(part, t)| Ok((part, t.parse::<Trouble>()?)))
        {
            Ok((part, trouble)) => server.trouble(part, trouble),
            Err(cause) => {
                eprintln!("grid-standin: --trouble: '{text}': {cause}");
                std::process::exit(2);
            }
        }
    }
    println!(
        "base_url = \"{}\" and so on; a trouble of its own: \"{}\"",
        server.url("electricity-maps"),
        server.url("~stall/eia")
    );
    println!("token: {TOKEN}");
    loop {
        std::thread::park();
    }
}
