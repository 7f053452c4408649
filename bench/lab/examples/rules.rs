//! Prints rules that are made up: `cargo run -p dropgate-lab --example rules -- COUNT [SEED]`.

fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse());
    let (Some(Ok(count)), seed) = (numbers.next(), numbers.next().unwrap_or(Ok(1))) else {
        eprintln!("how many rules?");
        std::process::exit(2);
    };
    match seed {
        Ok(seed) => print!("{}", dropgate_lab::rules::generated(count, seed.into())),
        Err(_) => std::process::exit(2),
    }
}
