//! Which language a visitor reads.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE};

use super::Words;
use super::en::EN;
use super::ko::KO;

/// The cookie that keeps a choice made on the page.
pub(in crate::http::page) const COOKIE_NAME: &str = "lang";

/// How much of `Accept-Language` is looked at: browsers send a few.
const RANGES_MAX: usize = 20;

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Lang {
    English,
    Korean,
}

impl Lang {
    /// All of them.
    pub(in crate::http) const ALL: [Self; 2] = [Self::English, Self::Korean];

    /// The tag of the attribute `lang`, of the cookie and of the form.
    pub(in crate::http) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// Its own name.
    pub(in crate::http) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Korean => "한국어",
        }
    }

    /// What the page says in it.
    pub(in crate::http) fn words(self) -> &'static Words {
        match self {
            Self::English => &EN,
            Self::Korean => &KO,
        }
    }

    /// The language of this tag.
    pub(in crate::http) fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lang| lang.tag().eq_ignore_ascii_case(tag))
    }

    /// The choice that was made on the page, else what the browser likes best, else English.
    pub(in crate::http) fn of(headers: &HeaderMap) -> Self {
        chosen(headers).or_else(|| liked(headers)).unwrap_or(Self::English)
    }
}

fn chosen(headers: &HeaderMap) -> Option<Lang> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    let mut choices = pairs.filter(|(name, _)| name.trim() == COOKIE_NAME);
    choices.find_map(|(_, tag)| Lang::of_tag(tag.trim()))
}

/// RFC 9110, 12.5.4: ranges with weights. Of the same weight the first wins.
fn liked(headers: &HeaderMap) -> Option<Lang> {
    let texts = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    let ranges = texts.flat_map(|text| text.split(',')).take(RANGES_MAX);
    let mut best: Option<(Lang, f32)> = None;
    for range in ranges {
        let mut pieces = range.split(';');
        let tag = pieces.next().unwrap_or_default().trim();
        let primary = tag.split('-').next().unwrap_or_default();
        let Some(lang) = Lang::of_tag(primary) else { continue };
        let weight = pieces.find_map(|piece| piece.trim().strip_prefix("q="));
        let weight = weight.map_or(1.0, |text| text.trim().parse().unwrap_or(0.0));
        if weight > 0.0 && best.is_none_or(|(_, earlier)| weight > earlier) {
            best = Some((lang, weight));
        }
    }
    best.map(|(lang, _)| lang)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(accept: &str, cookie: &str) -> Lang {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_str(accept).unwrap());
        headers.insert(COOKIE, HeaderValue::from_str(cookie).unwrap());
        Lang::of(&headers)
    }

    #[test]
    fn the_browser_says_what_it_likes() {
        for (accept, lang) in [
            ("ko-KR,ko;q=0.9,en;q=0.8", Lang::Korean),
            ("en-GB,en;q=0.9,ko;q=0.8", Lang::English),
            ("de,fr;q=0.9", Lang::English),
            ("de, ko;q=0.5, en;q=0.4", Lang::Korean),
            ("en;q=0.1, KO", Lang::Korean),
            ("ko;q=0, en;q=0.1", Lang::English),
            ("ko;q=x", Lang::English),
            ("kok", Lang::English),
            ("*", Lang::English),
            ("", Lang::English),
        ] {
            assert_eq!(of(accept, ""), lang, "{accept:?}");
        }
    }

    #[test]
    fn a_choice_goes_before_what_the_browser_likes() {
        assert_eq!(of("ko", "session=x; lang=en"), Lang::English);
        assert_eq!(of("en", "lang=ko"), Lang::Korean);
        assert_eq!(of("ko", "lang=xx; slang=en"), Lang::Korean);
    }
}
