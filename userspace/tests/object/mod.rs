//! The object under test: the one that is built in, or a mutated one that `cargo xtask mutants` names.

use dropgate::{datapath::Bench, policy::Image};

/// Loads it, attached to nothing, with `image` in force.
pub fn bench(image: &Image) -> Bench {
    let bench = match std::env::var_os("DROPGATE_TEST_OBJECT") {
        Some(path) => Bench::with_object(image, &std::fs::read(path).expect("the object named can be read")),
        None => Bench::new(image),
    };
    bench.expect("the object loads; it takes root (CAP_BPF, CAP_NET_ADMIN) and a kernel with BTF")
}
