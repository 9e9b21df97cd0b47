//! Where on the page what is: its addresses, names of fields and attributes, never its words.

/// Rows of a list of messages.
pub(crate) const ROW: &str = "main [data-row]";

/// The ids of the messages that are listed, in their order.
pub(crate) const LISTED: &str = "
    return [...document.querySelectorAll('main [data-row] a')].map(it => it.pathname.split('/').pop())";

/// The frame of a mail.
pub(crate) const FRAME: &str = "main iframe[sandbox]";

/// What shows the images that lie elsewhere.
pub(crate) const IMAGES: &str = "main a[href*='images=remote']";

/// The search of a list.
pub(crate) const SEARCH: &str = "main input[name=q]";

/// The form by which a message is sent again in another way than before.
pub(crate) const RETRY: &str = "main form[action$='/retry']:has([name=provider])";

/// The button that cancels a message.
pub(crate) const CANCEL: &str = "main form[action$='/cancel'] button";

/// The button that ends a session.
pub(crate) const LOG_OUT: &str = "form[action='/logout'] button";

/// The help of the keyboard.
pub(crate) const HELP: &str = "dialog[open]";

/// True as soon as the page hears of changes.
pub(crate) const LIVE: &str = "
    const sign = document.getElementById('live');
    return sign && !sign.hidden && !sign.classList.contains('lost')";

/// The row of a message.
pub(crate) fn row(id: &str) -> String {
    format!("{ROW}:has(a[href$='/messages/{id}'])")
}

/// The link to a view of the message that is open.
pub(crate) fn tab(name: &str) -> String {
    format!("main nav a[href*='tab={name}']")
}

/// The button that switches the language.
pub(crate) fn language(tag: &str) -> String {
    format!("form[action='/language'] button[value={tag}]")
}
