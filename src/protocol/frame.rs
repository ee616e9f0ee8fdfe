//! Frames: a 32-bit size, a header, a body.

use bytes::Bytes;
use thiserror::Error;

use super::codec::{DecodeError, EncodeError, Message, Reader, Request, Wire, Writer};
use super::messages::{ApiKey, RequestHeader, ResponseHeader};

/// Why the header of a request can't be made sense of. The connection is beyond repair: Kafka closes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// No such API, or one that this end does not serve.
    #[error("no API has key {0}")]
    UnknownApi(i16),
    /// The bytes are no header.
    #[error("malformed request header")]
    Malformed(#[from] DecodeError),
}

/// A request's header, and where its body starts.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestStart {
    /// The API called.
    pub api: ApiKey,
    /// The version of request and response. Not checked against what the API has.
    pub version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// Offset of the body within the frame.
    pub body_at: usize,
}

/// Reads the header of the request in `frame` (without the size).
///
/// # Errors
/// No such API, or the bytes are no header.
pub fn read_request_start(frame: &Bytes) -> Result<RequestStart, HeaderError> {
    let mut peek = Reader::new(frame);
    let key = i16::read(&mut peek, 0)?;
    let version = i16::read(&mut peek, 0)?;
    let api = ApiKey::from_i16(key).ok_or(HeaderError::UnknownApi(key))?;
    let mut r = Reader::new(frame);
    let header = RequestHeader::decode(&mut r, api.request_header_version(version))?;
    Ok(RequestStart {
        api,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        body_at: r.position(),
    })
}

/// Reads the body of a request whose header was read.
///
/// # Errors
/// The version does not exist or the bytes are not such a request.
pub fn read_request_body<R: Request>(frame: &Bytes, start: &RequestStart) -> Result<R, DecodeError> {
    let body = frame.slice(start.body_at.min(frame.len())..);
    R::decode(&mut Reader::new(&body), start.version)
}

/// The frame of a request, in pieces to be written one after another.
///
/// # Errors
/// The request can't be said in this version.
pub fn request_frame<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Vec<Bytes>, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::API.get(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
        ..Default::default()
    };
    let mut w = Writer::for_frame();
    header.encode(&mut w, R::API.request_header_version(version))?;
    request.encode(&mut w, version)?;
    w.into_frame()
}

/// The frame of a response, in pieces to be written one after another.
///
/// # Errors
/// The response can't be said in this version.
pub fn response_frame<M: Message>(
    response: &M,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Bytes>, EncodeError> {
    let header = ResponseHeader { correlation_id, ..Default::default() };
    let mut w = Writer::for_frame();
    header.encode(&mut w, api.response_header_version(version))?;
    response.encode(&mut w, version)?;
    w.into_frame()
}

/// The correlation id of the response in `frame` (without the size).
///
/// # Errors
/// The frame is shorter than that.
pub fn peek_correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
    i32::read(&mut Reader::new(frame), 0)
}

/// Reads the response to a request of type `R` and this version.
///
/// # Errors
/// The bytes are not such a response.
pub fn read_response<R: Request>(frame: &Bytes, version: i16) -> Result<R::Response, DecodeError> {
    let mut r = Reader::new(frame);
    ResponseHeader::decode(&mut r, R::API.response_header_version(version))?;
    R::Response::decode(&mut r, version)
}
