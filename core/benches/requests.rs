//! How long a request takes: `cargo bench -p libswarm --bench requests`.

mod paths;

use criterion::{Criterion, criterion_group, criterion_main};
use paths::{CREATE, GET, PING, Service};

fn requests(criterion: &mut Criterion) {
    for (name, bytes) in [("get", GET), ("create", CREATE)] {
        let mut group = criterion.benchmark_group(name);
        group.bench_function("job", |bencher| bencher.iter(|| paths::job(bytes)));
        group.bench_function("httparse", |bencher| bencher.iter(|| paths::httparse(bytes)));
        group.finish();
    }
    let mut group = criterion.benchmark_group("lookup");
    for (method, target) in [
        ("GET", "/v1.41/containers/json"),
        ("GET", "/v1.41/containers/4fa6e0f0c678/json"),
        ("POST", "/v1.41/images/127.0.0.1:9/x/push?tag=1"),
        ("GET", "/v1.41/nosuch"),
    ] {
        group.bench_function(format!("{method} {target}"), |bencher| {
            bencher.iter(|| paths::lookup(method, target));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("node");
    for (name, containers, bytes) in
        [("ping", 1, PING), ("list of 1", 1, GET), ("list of 100", 100, GET)]
    {
        let mut service = Service::new(containers);
        group.bench_function(name, |bencher| bencher.iter(|| service.request(bytes)));
    }
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
