//! Floats in the shortest digits that give the same number back, as all these systems write them.

/// A finite float in decimal digits.
pub(crate) struct Decimal {
    negative: bool,
    digits: String,
    /// The exponent of the first digit.
    pub(crate) exponent: i32,
}

impl Decimal {
    pub(crate) fn of(number: f64) -> Self {
        let text = format!("{:e}", number.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = even(number.abs(), mantissa.replace('.', ""));
        Self { negative: number.is_sign_negative(), digits, exponent: exponent.parse().unwrap_or(0) }
    }

    /// The number without an exponent, and without a point where it has no fraction.
    pub(crate) fn plain(&self) -> String {
        let digits = &self.digits;
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
        // How many digits stand before the point.
        let before = self.exponent + 1;
        let size = match usize::try_from(before) {
            Ok(0) | Err(_) => format!("0.{}{digits}", zeros(-before)),
            Ok(place) if place < digits.len() => {
                let (whole, fraction) = digits.split_at(place);
                format!("{whole}.{fraction}")
            }
            Ok(place) => format!("{digits}{}", "0".repeat(place - digits.len())),
        };
        format!("{}{size}", self.sign())
    }

    /// The digits, with a point after the first one where there are more.
    pub(crate) fn mantissa(&self) -> String {
        let (first, more) = self.digits.split_at(1.min(self.digits.len()));
        let point = if more.is_empty() { "" } else { "." };
        format!("{}{first}{point}{more}", self.sign())
    }

    fn sign(&self) -> &'static str {
        if self.negative { "-" } else { "" }
    }
}

/// Where two numbers of the shortest length are equally close, the systems write that with the even last digit. Rust writes the
/// larger one.
fn even(number: f64, digits: String) -> String {
    let odd = digits.bytes().last().is_some_and(|digit| digit % 2 == 1);
    let Some(shortest) = digits.parse::<u64>().ok().filter(|_| odd && digits.len() >= 15) else {
        return digits;
    };
    let exact = format!("{:.*e}", digits.len() + 40, number).replace('.', "");
    let (head, rest) = exact.split_at(digits.len().min(exact.len()));
    let half = rest.split('e').next().unwrap_or_default().strip_prefix('5');
    if !half.is_some_and(|zeros| zeros.bytes().all(|digit| digit == b'0')) {
        return digits;
    }
    // The larger of the two is odd, so the other one is even; or the other way round.
    let other = if head.parse() == Ok(shortest) { shortest + 1 } else { shortest - 1 };
    other.to_string()
}
