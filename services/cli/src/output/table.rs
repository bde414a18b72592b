//! Plain tables, as wide as the terminal.

use comfy_table::{Attribute, Cell, ContentArrangement, LineStyle, Table, TableStyle};

/// One line below the headings, nothing else: what is shown can be copied and searched.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table with these headings.
#[must_use]
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    table
}

/// A number with its thousands set apart, so that positions can be compared at a glance.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit that leaves a number above one.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, unit) in UNITS {
        if count >= size {
            let tenths = count.saturating_mul(10) / size;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::{bytes, grouped, table};

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([12, 2_048, 3_145_728, 1_610_612_736].map(bytes), ["12 B", "2.0 KiB", "3.0 MiB", "1.5 GiB"]);
    }

    #[test]
    fn a_table_shows_headings_and_cells() {
        let mut shown = table(&["csp", "state"]);
        shown.add_row(["csp-1", "available"]);
        let text = shown.to_string();
        assert!(text.contains("csp") && text.contains("csp-1") && text.contains("available"), "{text}");
    }
}
