//! Samples of one case over the rounds.

use serde::Serialize;

/// What is kept of the samples, in their unit.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
    pub samples: Vec<f64>,
}

impl Spread {
    /// Of one sample a round; all zero when there is none.
    pub fn of(samples: Vec<f64>) -> Self {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let last = sorted.len().saturating_sub(1);
        let median = (at(last / 2) + at(last.div_ceil(2))) / 2.0;
        Self { min: at(0), median, max: at(last), samples }
    }

    /// Median (min to max), with so many digits behind the point.
    pub fn text(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.min, self.max)
    }

    /// The same in another unit, of which there are so many to one of this.
    pub fn times(&self, times: f64) -> Self {
        let samples = self.samples.iter().map(|sample| sample * times).collect();
        Self { min: self.min * times, median: self.median * times, max: self.max * times, samples }
    }
}

/// A figure held against its target.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    pub what: String,
    pub value: f64,
    /// `true`: the value must not be above the bound; `false`: not below it.
    pub at_most: bool,
    pub bound: f64,
    pub unit: &'static str,
    pub met: bool,
}

impl Target {
    pub fn at_most(what: impl Into<String>, value: f64, bound: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, at_most: true, bound, unit, met: value <= bound }
    }

    pub fn at_least(what: impl Into<String>, value: f64, bound: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, at_most: false, bound, unit, met: value >= bound }
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn median_of_even_and_odd() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(vec![]).max, 0.0);
        assert_eq!(Spread::of(vec![0.5, 0.01]).times(100.0).text(1), "25.5 (1.0 to 50.0)");
    }
}
