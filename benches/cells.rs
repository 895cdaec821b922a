//! The cells of `ndpool bench`, from Rust: `cargo bench`, or `cargo bench -- 'R[1-6]'` for some of them.
//!
//! Their names are those of `python/ndpool/bench/cells.py`, which says where each comes from. Bytes per second count what a
//! call reads and writes; results are fresh on every call, or with `into` written to memory that is there.

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, IxDyn, Slice};
use ndpool::{Element, Pool, Regions, Statistic, TokenMode, TokenPool, Unpool, Window};

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// Random numbers of a fixed seed: 24 bits each.
fn random<T>(shape: &[usize], of: impl Fn(u32) -> T) -> ArrayD<T> {
    let mut state = 1u64;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        of((state >> 40) as u32)
    })
}

fn real(bits: u32) -> f32 {
    bits as f32 / (1u32 << 24) as f32
}

/// Windows of one kernel, stride and padding along `axes`.
fn square(axes: &[usize], kernel: usize, stride: usize, padding: usize) -> Pool {
    let window = Window::new(kernel).stride(stride).padding(padding, padding);
    Pool::windows(&vec![window; axes.len()]).axes(axes).count_include_pad(true)
}

/// What a cell times.
#[derive(Clone, Copy)]
enum Call {
    Max,
    Avg,
    Indices,
    MaxPullback,
    AvgPullback,
    Both,
}

/// Times a call on an array, and with `into` where that exists.
fn time<T: Element>(criterion: &mut Criterion, name: &str, call: Call, x: &ArrayViewD<'_, T>, pools: &[Pool]) {
    let mut group = criterion.benchmark_group(name);
    let cells = |pool: &Pool| pool.output_shape(x.shape()).expect("a cell that fits").iter().product::<usize>();
    let (read, written) = (x.len(), pools.iter().map(cells).sum::<usize>());
    let indices = if let Call::Indices = call { written * size_of::<i64>() } else { 0 };
    group.throughput(Throughput::Bytes(((read + written) * size_of::<T>() + indices) as u64));
    group.sample_size(20);
    for pool in pools {
        one(&mut group, call, x, pool);
    }
    group.finish();
}

fn one<T: Element>(group: &mut Group<'_>, call: Call, x: &ArrayViewD<'_, T>, pool: &Pool) {
    let mut y =
        ArrayD::from_elem(pool.output_shape(x.shape()).expect("a cell that fits"), x[vec![0; x.ndim()].as_slice()]);
    match call {
        Call::Max => {
            group.bench_function("fresh", |b| b.iter(|| pool.max(x)));
            group.bench_function("into", |b| b.iter(|| pool.max_into(x, y.view_mut())));
        }
        Call::Avg => {
            group.bench_function("into", |b| b.iter(|| pool.avg_into(x, y.view_mut())));
        }
        Call::Indices => {
            group.bench_function("fresh", |b| b.iter(|| pool.max_with_indices(x)));
        }
        Call::MaxPullback => {
            let (y, pullback) = pool.max_vjp(x).expect("floats");
            group.bench_function("fresh", |b| b.iter(|| pullback.pull(&y.view())));
        }
        Call::AvgPullback => {
            let (_, pullback) = pool.avg_vjp(x).expect("floats");
            group.bench_function("fresh", |b| b.iter(|| pullback.pull(&y.view())));
        }
        Call::Both => {
            group.bench_function("fresh", |b| {
                b.iter(|| pool.max_vjp(x).and_then(|(y, pullback)| pullback.pull(&y.view())));
            });
        }
    }
}

/// Name, call, shape, kernel, stride, padding; the last two axes are pooled.
type Map = (&'static str, Call, &'static [usize], usize, usize, usize);

/// Networks on float32 maps.
const MAPS: &[Map] = &[
    ("R1", Call::Max, &[1, 64, 112, 112], 3, 2, 1),
    ("R2", Call::Max, &[32, 64, 112, 112], 3, 2, 1),
    ("R5", Call::Indices, &[32, 64, 112, 112], 3, 2, 1),
    ("R6", Call::MaxPullback, &[16, 64, 112, 112], 3, 2, 1),
    ("A1", Call::Max, &[64, 96, 55, 55], 3, 2, 0),
    ("V1", Call::Max, &[8, 64, 224, 224], 2, 2, 0),
    ("V4", Call::Indices, &[8, 64, 224, 224], 2, 2, 0),
    ("V5", Call::Both, &[8, 64, 224, 224], 2, 2, 0),
    ("V6", Call::MaxPullback, &[8, 64, 224, 224], 2, 2, 0),
    ("I1", Call::Max, &[32, 192, 28, 28], 3, 1, 1),
    ("I2", Call::Avg, &[32, 288, 35, 35], 3, 1, 1),
    ("I4", Call::AvgPullback, &[32, 288, 35, 35], 3, 1, 1),
    ("D1", Call::Avg, &[32, 128, 56, 56], 2, 2, 0),
    ("D2", Call::AvgPullback, &[32, 128, 56, 56], 2, 2, 0),
    ("Y1", Call::Max, &[1, 512, 20, 20], 5, 1, 2),
    ("Y4", Call::Indices, &[16, 256, 40, 40], 5, 1, 2),
    ("X2", Call::Max, &[64, 512, 512], 3, 1, 1),
    ("X3", Call::Max, &[4096, 4096], 31, 1, 15),
    ("X4", Call::Avg, &[4096, 4096], 31, 1, 15),
    ("X6", Call::Max, &[1024, 1024], 31, 1, 15),
    ("L1", Call::Max, &[1, 1, 8, 8], 2, 2, 0),
];

fn maps(criterion: &mut Criterion) {
    for &(name, call, shape, kernel, stride, padding) in MAPS {
        let x = random(shape, real);
        let pool = square(&[shape.len() - 2, shape.len() - 1], kernel, stride, padding);
        time(criterion, name, call, &x.view(), &[pool]);
    }
}

/// One axis, three axes, several windows, channels last, views, global and adaptive pooling.
fn shapes(criterion: &mut Criterion) {
    let x = random(&[64, 22, 1000], real);
    time(criterion, "E1", Call::Max, &x.view(), &[square(&[2], 4, 4, 0)]);
    let x = random(&[64, 40, 1000], real);
    time(criterion, "E2", Call::Avg, &x.view(), &[square(&[2], 75, 15, 0)]);
    let x = random(&[16, 12, 100_000], real);
    time(criterion, "E3", Call::Max, &x.view(), &[square(&[2], 501, 1, 250)]);
    let x = random(&[1, 64, 16, 112, 112], real);
    let frames = Pool::windows(&[
        Window::new(1),
        Window::new(3).stride(2).padding(1, 1),
        Window::new(3).stride(2).padding(1, 1),
    ]);
    time(criterion, "T1", Call::Max, &x.view(), &[frames]);
    let x = random(&[2, 64, 32, 56, 56], real);
    time(criterion, "T2", Call::Max, &x.view(), &[square(&[2, 3, 4], 2, 2, 0)]);
    let x = random(&[1, 64, 32, 56, 56], real);
    time(criterion, "T3", Call::Avg, &x.view(), &[square(&[2, 3, 4], 3, 1, 1)]);
    let x = random(&[16, 512, 20, 20], real);
    let pyramid = [5, 9, 13].map(|kernel| square(&[2, 3], kernel, 1, kernel / 2));
    time(criterion, "Y3", Call::Max, &x.view(), &pyramid);
    let x = random(&[8, 64, 128, 128], real);
    let dilated = Window::new(3).stride(1).dilation(2).padding(1, 1);
    time(criterion, "Z1", Call::Max, &x.view(), &[Pool::windows(&[dilated; 2])]);
    let x = random(&[32, 112, 112, 64], real);
    time(criterion, "R3", Call::Max, &x.view(), &[square(&[1, 2], 3, 2, 1)]);
    let x = random(&[8, 224, 224, 64], real);
    time(criterion, "V2", Call::Max, &x.view(), &[square(&[1, 2], 2, 2, 0)]);
    let mut x = random(&[8, 64, 448, 448], real);
    x.slice_each_axis_inplace(|axis| Slice::new(0, None, if axis.axis.index() < 2 { 1 } else { 2 }));
    time(criterion, "W1", Call::Max, &x.view(), &[square(&[2, 3], 2, 2, 0)]);
    let x = random(&[32, 2048, 7, 7], real);
    time(criterion, "G1", Call::Avg, &x.view(), &[Pool::global(2)]);
    let x = random(&[1, 2048, 60, 60], real);
    time(criterion, "P1", Call::Avg, &x.view(), &[Pool::adaptive(&[6, 6])]);
}

/// Half floats and integers.
fn dtypes(criterion: &mut Criterion) {
    let x = random(&[32, 64, 112, 112], |bits| bf16::from_f32(real(bits)));
    time(criterion, "R4", Call::Max, &x.view(), &[square(&[2, 3], 3, 2, 1)]);
    let x = random(&[32, 64, 112, 112], |bits| f16::from_f32(real(bits)));
    time(criterion, "F2", Call::Max, &x.view(), &[square(&[2, 3], 3, 2, 1)]);
    let x = random(&[5490, 10_980], |bits| (bits >> 8) as u16);
    time(criterion, "H1", Call::Avg, &x.view(), &[square(&[0, 1], 2, 2, 0)]);
    let x = random(&[64, 1024, 1024], |bits| (bits >> 8) as u16);
    time(criterion, "X1", Call::Avg, &x.view(), &[square(&[1, 2], 2, 2, 0)]);
    let x = random(&[10_980, 10_980], |bits| (bits >> 16) as u8);
    time(criterion, "H3", Call::Max, &x.view(), &[square(&[0, 1], 2, 2, 0)]);
    let x = random(&[3000, 4000, 3], |bits| (bits >> 16) as u8);
    time(criterion, "J1", Call::Avg, &x.view(), &[square(&[0, 1], 2, 2, 0)]);
    let x = random(&[1, 56, 56, 256], |bits| (bits >> 16) as u8);
    time(criterion, "N1", Call::Max, &x.view(), &[square(&[1, 2], 3, 2, 1)]);
}

/// Times a call that gives a fresh result alone.
fn fresh<Y>(criterion: &mut Criterion, name: &str, bytes: usize, call: impl Fn() -> Y) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.sample_size(20);
    group.bench_function("fresh", |b| b.iter(&call));
    group.finish();
}

/// NaN left out, maxima put back, tokens, and boxes.
fn others(criterion: &mut Criterion) {
    let x = random(&[5490, 5490], |bits| if bits.is_multiple_of(10) { f32::NAN } else { real(bits) });
    let pool = Pool::blocks(&[2, 2]).omit_nan(true);
    fresh(criterion, "H4", 4 * (x.len() + 2745 * 2745), || pool.statistic(&x.view(), &Statistic::Mean));

    let x = random(&[4, 64, 256, 256], real);
    let (y, indices) = Pool::blocks(&[2, 2]).max_with_indices(&x.view()).expect("a cell that fits");
    let bytes = 4 * (x.len() + y.len()) + size_of::<i64>() * indices.len();
    fresh(criterion, "U2", bytes, || Unpool::new(&[2, 2]).unpool(&y.view(), &indices.view()));

    let x = random(&[32, 49, 768], real);
    fresh(criterion, "S1", 4 * (x.len() + 32 * 768), || TokenPool::new().pool(&x.view(), TokenMode::Mean));

    let (x, boxes) = (random(&[1, 256, 50, 68], real), boxes(1000, 68.0 * 16.0, 50.0 * 16.0));
    let regions = Regions::align([7, 7]).spatial_scale(1.0 / 16.0).sampling_ratio(2);
    let bytes = 4 * (x.len() + boxes.len() + 1000 * 256 * 7 * 7);
    fresh(criterion, "Q1", bytes, || regions.apply(&x.view(), &boxes.view()));
}

/// Boxes of any size, from that of a cell on, in an image that is 16 times as large as its map.
fn boxes(count: usize, width: f32, height: f32) -> ArrayD<f32> {
    let mut boxes = random(&[count, 5], real);
    for mut row in boxes.rows_mut() {
        row[0] = 0.0;
        for (axis, len) in [width, height].into_iter().enumerate() {
            let side = 16.0 + (len - 16.0) * row[3 + axis];
            row[1 + axis] *= len - side;
            row[3 + axis] = row[1 + axis] + side;
        }
    }
    boxes
}

criterion_group!(benches, maps, shapes, dtypes, others);
criterion_main!(benches);
