//! Requests of type `multipart/form-data`, read as a service reads them.

use serde_json::{Map, Value, json};

/// One field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// What a field is called that holds a file.
    pub(crate) filename: Option<String>,
    pub(crate) content: Vec<u8>,
}

/// The fields of a form, or what is wrong with it. Nothing is forgiven.
pub(crate) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Vec<Field>, String> {
    let boundary = content_type
        .and_then(|it| it.strip_prefix("multipart/form-data; boundary="))
        .ok_or_else(|| format!("content-type: {content_type:?}"))?;
    let delimiter = format!("\r\n--{boundary}");
    // The first one stands at the very beginning.
    let whole = [b"\r\n", body].concat();
    let mut rest =
        whole.strip_prefix(delimiter.as_bytes()).ok_or("no boundary at the beginning")?;
    let mut fields = Vec::new();
    loop {
        if rest == b"--\r\n" {
            return Ok(fields);
        }
        let part = rest.strip_prefix(b"\r\n").ok_or("something behind a boundary")?;
        let end = find(part, delimiter.as_bytes()).ok_or("no boundary at the end")?;
        fields.push(field(&part[..end])?);
        rest = &part[end + delimiter.len()..];
    }
}

fn field(part: &[u8]) -> Result<Field, String> {
    let end = find(part, b"\r\n\r\n").ok_or("a part without a header")?;
    let head = std::str::from_utf8(&part[..end]).map_err(|error| error.to_string())?;
    let disposition = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Disposition: form-data; "))
        .ok_or_else(|| format!("no disposition: {head}"))?;
    let parameter = |name: &str| {
        let value =
            disposition.split("; ").find_map(|it| it.strip_prefix(name)?.strip_prefix("=\""));
        value.and_then(|it| it.strip_suffix('"')).map(str::to_owned)
    };
    Ok(Field {
        name: parameter("name").ok_or_else(|| format!("a part without a name: {head}"))?,
        filename: parameter("filename"),
        content: part[end + 4..].to_vec(),
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The form as an object, for a schema: repeated names become lists where `is_list` says that they may. Files are texts,
/// which a schema can say nothing about.
pub(crate) fn as_object(fields: &[Field], is_list: impl Fn(&str) -> bool) -> Result<Value, String> {
    let mut object = Map::new();
    for field in fields {
        let text = match (&field.filename, String::from_utf8(field.content.clone())) {
            (Some(_), _) => "(a file)".to_owned(),
            (None, Ok(text)) => text,
            (None, Err(_)) => return Err(format!("{} is not UTF-8", field.name)),
        };
        if is_list(&field.name) {
            let list = object.entry(&field.name).or_insert_with(|| json!([]));
            list.as_array_mut().unwrap().push(json!(text));
        } else if object.insert(field.name.clone(), json!(text)).is_some() {
            return Err(format!("{} stands more than once", field.name));
        }
    }
    Ok(object.into())
}
