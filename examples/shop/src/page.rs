//! The pages: plain HTML. Only the live page has a script.

use std::fmt::{self, Write};
use std::time::Duration;

use session_kit::{Error, Handle, Session};

use crate::goods::{self, CART, Cart, ITEMS, MOST};

/// The key of the flash value that the next page shows.
pub(crate) const NOTICE: &str = "notice";

/// The key of the number of visits.
pub(crate) const VISITS: &str = "visits";

const STYLE: &str = include_str!("style.css");

/// The session values that every page shows.
pub(crate) struct Page {
    pub(crate) user: Option<String>,
    pub(crate) notice: Option<String>,
    pub(crate) cart: Cart,
}

impl Page {
    /// Reads the values. This consumes the notice when the page is sent.
    pub(crate) fn read(session: &Session) -> Result<Self, Error> {
        Ok(Self {
            user: session.user()?,
            notice: session.flash().get(NOTICE)?,
            cart: session.get(CART)?.unwrap_or_default(),
        })
    }
}

pub(crate) fn home(page: &Page, visits: u64) -> String {
    let mut body = String::new();
    let times = if visits == 1 { "your first visit".to_owned() } else { format!("visit number {visits}") };
    body.push_str("<section class=intro><h1>Things for tea</h1>");
    put(
        &mut body,
        format_args!("<p>This is {times} in this session. Reload the page to add one.</p></section>"),
    );
    body.push_str("<ul class=goods>");
    for item in &ITEMS {
        put(
            &mut body,
            format_args!(
                "<li class=card><div class=picture style='--hue:{hue}' aria-hidden=true>{initial}</div>\
                 <h2>{name}</h2><p>{about}</p><form method=post action=/cart class=buy>\
                 <strong>{price}</strong><input type=hidden name=item value={id}>\
                 <label>Qty <input type=number name=qty value=1 min=1 max={MOST} required></label>\
                 <button>Add</button></form></li>",
                hue = item.hue,
                initial = &item.name[..1],
                name = Text(item.name),
                about = Text(item.about),
                price = goods::euros(item.cents.into()),
                id = item.id,
            ),
        );
    }
    body.push_str("</ul>");
    whole("Shop", page, &body)
}

pub(crate) fn cart(page: &Page) -> String {
    let mut body = String::from("<section class=intro><h1>Your cart</h1>");
    if page.cart.is_empty() {
        body.push_str("<p>Your cart is empty.</p></section>");
    } else {
        body.push_str("</section><table><thead><tr><th>Item<th class=n>Each<th class=n>Qty<th class=n>Sum</thead><tbody>");
        for (id, qty) in &page.cart {
            let (name, cents) = goods::find(id).map_or((&**id, 0), |item| (item.name, item.cents));
            put(
                &mut body,
                format_args!(
                    "<tr><td>{}<td class=n>{}<td class=n>{qty}<td class=n>{}",
                    Text(name),
                    goods::euros(cents.into()),
                    goods::euros(u64::from(cents) * u64::from(*qty)),
                ),
            );
        }
        let total = goods::euros(goods::total_cents(&page.cart));
        put(
            &mut body,
            format_args!("</tbody><tfoot><tr><td colspan=3>Total<td class=n>{total}</tfoot></table>"),
        );
    }
    body.push_str("<p><a class=button href=/>Back to the shop</a></p>");
    whole("Your cart", page, &body)
}

/// A session of the user, as the list of devices shows it.
pub(crate) struct Device {
    pub(crate) label: String,
    /// The time since it was created and since it was last used.
    pub(crate) created: Duration,
    pub(crate) used: Duration,
    /// `None` for the session of this request.
    pub(crate) handle: Option<Handle>,
}

pub(crate) fn devices(page: &Page, devices: &[Device]) -> String {
    let mut body = String::from(
        "<section class=intro><h1>Your devices</h1><p>The browsers that are signed in to your account.</p></section>\
         <table><thead><tr><th>Device<th>First visit<th>Last used<th></thead><tbody>",
    );
    for device in devices {
        let (label, created, used) = (Text(&device.label), Ago(device.created), Ago(device.used));
        put(&mut body, format_args!("<tr><td>{label}<td>{created}<td>{used}<td class=n>"));
        match &device.handle {
            None => body.push_str("<span class=here>This device</span>"),
            Some(handle) => put(
                &mut body,
                format_args!(
                    "<form method=post action=/devices/end><button class=quiet name=handle value={handle}>\
                     Sign out</button></form>"
                ),
            ),
        }
    }
    body.push_str("</tbody></table>");
    if devices.len() > 1 {
        body.push_str(
            "<form method=post action=/devices/end-others><button>Sign out everywhere else</button></form>",
        );
    }
    whole("Your devices", page, &body)
}

/// The page that `live.js` keeps up to date.
pub(crate) fn live(page: &Page) -> String {
    let body = "<section class=intro><h1 id=title>Live</h1><p id=status role=status>Connecting…</p></section>\
                <p id=state>Visits in this session: <b id=visits></b></p><p><a class=button href=/>Back to the shop</a></p>\
                <script src=/live.js></script>";
    whole("Live", page, body)
}

pub(crate) fn refused(page: &Page) -> String {
    let body = "<section class=intro><h1>Invalid form</h1><p>The shop does not accept these values.</p></section><p><a class=button href=/>Back to the shop</a></p>";
    whole("Invalid form", page, body)
}

fn whole(title: &str, page: &Page, body: &str) -> String {
    let mut html = String::with_capacity(8 << 10);
    put(
        &mut html,
        format_args!(
            "<!doctype html><html lang=en><head><meta charset=utf-8><title>{} · session-kit shop</title>\
             <meta name=viewport content='width=device-width, initial-scale=1'>\
             <style>{STYLE}</style></head><body><header><a class=brand href=/>session-kit <b>shop</b></a><nav>",
            Text(title),
        ),
    );
    match &page.user {
        Some(user) => put(
            &mut html,
            format_args!(
                "<span class=user>Signed in as <b>{}</b></span><a href=/devices>Devices</a>\
                 <form method=post action=/logout><button class=quiet>Log out</button></form>",
                Text(user),
            ),
        ),
        None => html.push_str(
            "<form method=post action=/login><input name=name placeholder='Your name' aria-label='Your name' \
             maxlength=40 autocomplete=username required><button class=quiet>Log in</button></form>",
        ),
    }
    let summary = summary(&page.cart);
    put(&mut html, format_args!("<a class=cart id=cart href=/cart>{summary}</a></nav></header><main>"));
    if let Some(notice) = &page.notice {
        put(&mut html, format_args!("<p class=notice role=status>{}</p>", Text(notice)));
    }
    html.push_str(body);
    html.push_str(
        "</main><footer>Try it: use two tabs at once, log out in one of them, or kill the server and start it again. \
         No change is lost, and an ended session stays ended. <a href=/live>Watch the session live</a> \
         · <a href=/api/state>The session as JSON</a></footer>\
         </body></html>",
    );
    html
}

/// The cart in a few words.
pub(crate) fn summary(cart: &Cart) -> String {
    match goods::pieces(cart) {
        0 => "Cart is empty".to_owned(),
        pieces => format!("Cart · {pieces} · {}", goods::euros(goods::total_cents(cart))),
    }
}

fn put(html: &mut String, what: fmt::Arguments<'_>) {
    html.write_fmt(what).expect("writing to a string cannot fail");
}

/// Text from visitors, escaped for HTML.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// A time in the past.
struct Ago(Duration);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0.as_secs() / 60 {
            0 => return f.write_str("just now"),
            minutes @ 1..60 => (minutes, "minute"),
            minutes @ 60..1_440 => (minutes / 60, "hour"),
            minutes => (minutes / 1_440, "day"),
        };
        write!(f, "{count} {unit}{} ago", if count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_text_is_escaped_and_prices_are_added() {
        let page = Page {
            user: Some("<script>alert('&')</script>".into()),
            notice: Some("Welcome, \"<b>\"".into()),
            cart: [("<i>".to_owned(), 2), ("teapot".to_owned(), 3)].into(),
        };
        let device = Device {
            label: "<script>".into(),
            created: Duration::from_secs(7_300),
            used: Duration::from_secs(61),
            handle: None,
        };
        let devices = devices(&page, &[device]);
        assert!(devices.contains("2 hours ago") && devices.contains("1 minute ago"));
        for html in [home(&page, 1), cart(&page), devices, refused(&page)] {
            assert!(html.contains("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"));
            assert!(html.contains("Welcome, &quot;&lt;b&gt;&quot;"));
            assert!(!html.contains("<script>") && !html.contains("<i>"));
        }
        assert!(cart(&page).contains("€ 147.00"));
    }
}
