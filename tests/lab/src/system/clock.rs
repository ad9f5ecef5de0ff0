//! The platform's clock: product seconds, running at a rate against real time.

use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// Product seconds since the lab came up. `rate` product seconds pass in one real second.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Clock {
    pub rate: f64,
    base_product: f64,
    base_real: f64,
    /// Set in tests: product time stands still unless it is pushed.
    pub frozen: bool,
}

/// Real Unix time in seconds.
pub fn real_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

impl Clock {
    /// A clock that starts at 0 now.
    pub fn new(rate: f64) -> Clock {
        Clock { rate, base_product: 0.0, base_real: real_now(), frozen: false }
    }

    /// Product seconds now.
    pub fn now(&self) -> f64 {
        if self.frozen { self.base_product } else { self.base_product + (real_now() - self.base_real) * self.rate }
    }

    /// Go on at another rate from here.
    pub fn set_rate(&mut self, rate: f64) {
        self.base_product = self.now();
        self.base_real = real_now();
        self.rate = rate;
    }

    /// Jump ahead.
    pub fn push(&mut self, product_seconds: f64) {
        self.base_product += product_seconds;
    }

    /// After the lab was down: go on where it stopped.
    pub fn resume(&mut self, product: f64) {
        self.base_product = product;
        self.base_real = real_now();
    }

    /// Real milliseconds that a product duration takes.
    pub fn real_ms(&self, product_seconds: f64) -> u64 {
        (product_seconds / self.rate * 1000.0) as u64
    }
}
