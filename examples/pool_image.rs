//! Pools an image file: `cargo run --release --example pool_image -- IN OUT MODE SIZE`.
//!
//! `MODE` is `max`, `min` or `avg`, `SIZE` the side of the blocks.

use std::error::Error;

use ndarray::{ArrayD, ArrayView3};
use ndpool::Pool;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, mode, size] = arguments.as_slice() else {
        return Err("usage: pool_image IN OUT max|min|avg SIZE".into());
    };
    let image = image::open(input)?.into_rgb8();
    let (width, height) = image.dimensions();
    let pixels = ArrayView3::from_shape((height as usize, width as usize, 3), image.as_raw())?;
    let size = size.parse()?;
    // Height and width are pooled, the three channels are passed through.
    let pool = Pool::blocks(&[size, size]).axes(&[0, 1]);
    let pooled: ArrayD<u8> = match mode.as_str() {
        "max" => pool.max(&pixels)?,
        "min" => pool.min(&pixels)?,
        "avg" => {
            let mut rounded = ArrayD::zeros(pool.output_shape(pixels.shape())?);
            pool.avg_into(&pixels, rounded.view_mut())?;
            rounded
        }
        other => return Err(format!("mode: {other} must be max, min or avg").into()),
    };
    let (height, width) = (u32::try_from(pooled.shape()[0])?, u32::try_from(pooled.shape()[1])?);
    let pixels = pooled.as_standard_layout().iter().copied().collect();
    image::RgbImage::from_raw(width, height, pixels).ok_or("the result has no pixels")?.save(output)?;
    println!("{input}: {} x {} pooled by {mode} to {width} x {height}: {output}", image.width(), image.height());
    Ok(())
}
