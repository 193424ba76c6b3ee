//! The goods and the cart.

use std::collections::BTreeMap;

/// The visitor's cart: the quantity of each item.
pub(crate) type Cart = BTreeMap<String, u32>;

/// Its key in the session.
pub(crate) const CART: &str = "cart";

/// The largest quantity of an item.
pub(crate) const MOST: u32 = 999;

pub(crate) struct Item {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) cents: u32,
    /// The colour of its picture.
    pub(crate) hue: u16,
}

pub(crate) const ITEMS: [Item; 6] = [
    Item { id: "teapot", name: "Teapot", about: "Cast iron. Answers 418 to coffee.", cents: 4_900, hue: 168 },
    Item { id: "mug", name: "Mug", about: "Stoneware, holds 300 ml of session.", cents: 1_450, hue: 24 },
    Item {
        id: "kettle",
        name: "Kettle",
        about: "Boils at once, commits before it whistles.",
        cents: 6_200,
        hue: 208,
    },
    Item { id: "honey", name: "Honey", about: "From linden trees. Never expires.", cents: 890, hue: 42 },
    Item { id: "biscuits", name: "Biscuits", about: "Not cookies. Twelve in a tin.", cents: 650, hue: 350 },
    Item {
        id: "towel",
        name: "Tea towel",
        about: "Linen, for accidents under concurrency.",
        cents: 1_200,
        hue: 262,
    },
];

pub(crate) fn find(id: &str) -> Option<&'static Item> {
    ITEMS.iter().find(|item| item.id == id)
}

pub(crate) fn pieces(cart: &Cart) -> u32 {
    cart.values().sum()
}

pub(crate) fn total_cents(cart: &Cart) -> u64 {
    let line =
        |(id, qty): (&String, &u32)| find(id).map_or(0, |item| u64::from(item.cents) * u64::from(*qty));
    cart.iter().map(line).sum()
}

pub(crate) fn euros(cents: u64) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}
