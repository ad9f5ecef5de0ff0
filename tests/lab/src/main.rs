fn main() {
    println!("stx-lab");
}
