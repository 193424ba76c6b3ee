//! The options of TLS in a URL. tokio-postgres knows three values of `sslmode` and no certificates, so they are taken
//! out of the URL that it parses.

use percent_encoding::percent_decode_str;
use session_core::Result;

use crate::sslmode::{SslMode, TlsOptions, wrong};

/// The URL without the options of TLS, and these options. Errors contain no part of the URL.
pub(crate) fn split(url: &str) -> Result<(String, TlsOptions)> {
    let mut options = TlsOptions::default();
    // A question mark of the password comes before the first `@`, where tokio-postgres ends the user's part.
    let user_ends = url.find('@').unwrap_or(0);
    let Some(query) = url.get(user_ends..).and_then(|rest| rest.find('?')).map(|at| user_ends + at) else {
        return Ok((url.to_owned(), options));
    };
    let (before, query) = url.split_at(query);
    let mut others = Vec::new();
    for pair in query.get(1..).unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match name {
            "sslmode" => {
                let mode = SslMode::parse(value).ok_or_else(|| {
                    wrong("`sslmode` takes `disable`, `prefer`, `require`, `verify-ca` or `verify-full`")
                })?;
                options.sslmode = Some(mode);
                continue;
            }
            "" => continue,
            "sslrootcert" => &mut options.sslrootcert,
            "sslcert" => &mut options.sslcert,
            "sslkey" => &mut options.sslkey,
            _ => {
                others.push(pair);
                continue;
            }
        };
        let path = percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| wrong("the path of a certificate is not UTF-8"))?;
        if path.is_empty() {
            return Err(wrong("the path of a certificate is empty"));
        }
        *place = Some(path.into_owned());
    }
    let mark = if others.is_empty() { "" } else { "?" };
    Ok((format!("{before}{mark}{}", others.join("&")), options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_tls_leave_the_url() {
        for (url, rest, mode, root) in [
            ("postgres://u@h/d", "postgres://u@h/d", None, None),
            ("postgres://u@h/d?sslmode=disable", "postgres://u@h/d", Some(SslMode::Disable), None),
            ("postgres://u@h/d?", "postgres://u@h/d", None, None),
            ("postgres://u:a?b@h/d?x=y", "postgres://u:a?b@h/d?x=y", None, None),
            ("postgres://u:sslmode=x?b@h/d", "postgres://u:sslmode=x?b@h/d", None, None),
            (
                "postgres://u@h/d?x=y&sslmode=verify-full&sslrootcert=%2Fetc%2Fmy%20ca.pem&z=1",
                "postgres://u@h/d?x=y&z=1",
                Some(SslMode::VerifyFull),
                Some("/etc/my ca.pem"),
            ),
        ] {
            let (found, options) = split(url).unwrap();
            assert_eq!((found.as_str(), options.sslmode), (rest, mode), "{url}");
            assert_eq!(options.sslrootcert.as_deref(), root, "{url}");
        }
        for (url, text) in [
            ("postgres://u@h/d?sslmode=allow", "`sslmode` takes `disable`"),
            ("postgres://u@h/d?sslmode", "`sslmode` takes `disable`"),
            ("postgres://u@h/d?sslrootcert=", "is empty"),
            ("postgres://u@h/d?sslkey=%FF", "is not UTF-8"),
        ] {
            assert!(split(url).unwrap_err().to_string().contains(text), "{url}");
        }
    }
}
