//! Forward and backward on the maps of small networks: `cargo bench`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array4;
use ndpool::{Pool, Window};

fn map(shape: (usize, usize, usize, usize)) -> Array4<f32> {
    let mut state = 1u64;
    Array4::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    })
}

fn pooling(criterion: &mut Criterion) {
    let cells = [
        ("2x2/2 56x56", (8, 64, 56, 56), Window::new(2)),
        ("3x3/2 112x112", (4, 64, 112, 112), Window::new(3).stride(2).padding(1, 1)),
        ("3x3/1 28x28", (8, 192, 28, 28), Window::new(3).stride(1).padding(1, 1)),
        ("31x31/1 512x512", (1, 1, 512, 512), Window::new(31).stride(1).padding(15, 15)),
    ];
    for (name, shape, window) in cells {
        let x = map(shape);
        let pool = Pool::windows(&[window; 2]);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(4 * x.len() as u64));
        group.bench_function(BenchmarkId::from_parameter("max"), |b| b.iter(|| pool.max(&x.view())));
        group.bench_function(BenchmarkId::from_parameter("avg"), |b| b.iter(|| pool.avg(&x.view())));
        group.bench_function(BenchmarkId::from_parameter("max, indices"), |b| {
            b.iter(|| pool.max_with_indices(&x.view()));
        });
        if let Ok((y, pullback)) = pool.max_vjp(&x.view()) {
            group.bench_function(BenchmarkId::from_parameter("max, pullback"), |b| b.iter(|| pullback.pull(&y.view())));
        }
        group.finish();
    }
}

criterion_group!(benches, pooling);
criterion_main!(benches);
