// SPDX-License-Identifier: GPL-2.0-only
// Rust stacks known by construction: generics, trait objects, closures, a panic that is caught.

use std::hint::black_box;
use std::io::Write;

#[inline(never)]
fn leaf(rounds: u64) -> u64 {
    let mut total = 0;
    for number in 0..rounds {
        total = black_box(total + number);
    }
    total
}

trait Shape {
    fn area(&self) -> u64;
}

struct Square;

impl Shape for Square {
    #[inline(never)]
    fn area(&self) -> u64 {
        black_box(leaf(2000)) + 1
    }
}

#[inline(never)]
fn generic<T: Shape + ?Sized>(shape: &T) -> u64 {
    black_box(shape.area()) + 1
}

#[inline(never)]
fn apply(function: &dyn Fn(u64) -> u64) -> u64 {
    black_box(black_box(function)(2000)) + 1
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if depth == 0 {
        return black_box(leaf(2000));
    }
    black_box(descend(depth - 1)) + 1
}

fn main() {
    println!("ready {}", std::process::id());
    std::io::stdout().flush().unwrap();
    let shape: Box<dyn Shape> = Box::new(Square);
    loop {
        black_box(generic(shape.as_ref()));
        black_box(apply(&|rounds| black_box(leaf(rounds)) + 1));
        black_box(descend(100));
    }
}
