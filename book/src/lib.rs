//! The chapters of the book as documentation, so that their programs are doctests.

macro_rules! chapters {
    ($($name:ident $file:literal)*) => { $(#[doc = include_str!($file)] pub mod $name {})* };
}

chapters! {
    introduction "../introduction.md"
    from_tower_sessions "../from-tower-sessions.md"
    from_actix_session "../from-actix-session.md"
    from_cgi_session_or_catalyst "../from-cgi-session-or-catalyst.md"
    from_php_django_rails_express "../from-php-django-rails-express.md"
    choose_a_driver "../choose-a-driver.md"
    operate_it "../operate-it.md"
    write_a_driver "../write-a-driver.md"
    security "../security.md"
}
