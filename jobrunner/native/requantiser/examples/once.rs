//! Requantise one file once, for whoever counts instructions: once FILE QUALITY. Prints how long the result is.

use std::{env, fs, process};

fn main() {
    let words: Vec<String> = env::args().collect();
    let (file, quality): (_, u16) = (fs::read(&words[1]).expect("a file"), words[2].parse().expect("a quality"));
    match requantiser::requantise(&file, &requantiser::Options { quality_tenths: 10 * quality, ..Default::default() }) {
        Ok(made) => println!("{}", made.len()),
        Err(error) => {
            eprintln!("{error:?}");
            process::exit(1);
        }
    }
}
