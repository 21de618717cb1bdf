//! The errors of the blob store, each with the status, code and text that the store gives it.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// An error answer: status, code, text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StorageError(pub(super) u16, pub(super) &'static str, pub(super) &'static str);

pub(super) const CONTAINER_NOT_FOUND: StorageError =
    StorageError(404, "ContainerNotFound", "The specified container does not exist.");
pub(super) const CONTAINER_ALREADY_EXISTS: StorageError =
    StorageError(409, "ContainerAlreadyExists", "The specified container already exists.");
pub(super) const BLOB_NOT_FOUND: StorageError = StorageError(404, "BlobNotFound", "The specified blob does not exist.");
pub(super) const BLOB_ALREADY_EXISTS: StorageError =
    StorageError(409, "BlobAlreadyExists", "The specified blob already exists.");
pub(super) const INVALID_RESOURCE_NAME: StorageError = StorageError(
    400,
    "InvalidResourceName",
    "The specified resource name contains invalid characters.",
);
pub(super) const OUT_OF_RANGE_NAME: StorageError = StorageError(
    400,
    "OutOfRangeInput",
    "The specified resource name length is not within the permissible limits.",
);
pub(super) const INVALID_HEADER: StorageError = StorageError(
    400,
    "InvalidHeaderValue",
    "The value for one of the HTTP headers is not in the correct format.",
);
pub(super) const INVALID_RANGE: StorageError = StorageError(
    416,
    "InvalidRange",
    "The range specified is invalid for the current size of the resource.",
);
pub(super) const CONDITION_NOT_MET: StorageError = StorageError(
    412,
    "ConditionNotMet",
    "The condition specified using HTTP conditional header(s) is not met.",
);
pub(super) const NOT_MODIFIED: StorageError = StorageError(
    304,
    "ConditionNotMet",
    "The condition specified using HTTP conditional header(s) is not met.",
);
pub(super) const UNSATISFIABLE_CONDITION: StorageError = StorageError(
    400,
    "UnsatisfiableCondition",
    "The request includes an unsatisfiable condition for this operation.",
);
pub(super) const LEASE_ALREADY_PRESENT: StorageError =
    StorageError(409, "LeaseAlreadyPresent", "There is already a lease present.");
pub(super) const LEASE_BREAKING_NOT_ACQUIRED: StorageError = StorageError(
    409,
    "LeaseIsBreakingAndCannotBeAcquired",
    "There is already a breaking lease, and can't be acquired.",
);
pub(super) const LEASE_NOT_PRESENT: StorageError = StorageError(
    409,
    "LeaseNotPresentWithLeaseOperation",
    "There is currently no lease on the container or blob.",
);
pub(super) const LEASE_ID_MISMATCH: StorageError = StorageError(
    409,
    "LeaseIdMismatchWithLeaseOperation",
    "The lease ID specified did not match the lease ID for the container or blob.",
);
pub(super) const LEASE_BROKEN_NOT_RENEWED: StorageError = StorageError(
    409,
    "LeaseIsBrokenAndCannotBeRenewed",
    "The lease ID matched, but the lease has been broken explicitly and cannot be renewed.",
);
pub(super) const LEASE_BREAKING_NOT_CHANGED: StorageError = StorageError(
    409,
    "LeaseIsBreakingAndCannotBeChanged",
    "The lease ID matched, but the lease is currently in breaking state and cannot be changed.",
);
pub(super) const LEASE_ID_MISSING: StorageError = StorageError(
    412,
    "LeaseIdMissing",
    "There is currently a lease on the blob and no lease ID was specified in the request.",
);
pub(super) const LEASE_ID_MISMATCH_WITH_BLOB: StorageError = StorageError(
    412,
    "LeaseIdMismatchWithBlobOperation",
    "The lease ID specified did not match the lease ID for the blob.",
);
pub(super) const LEASE_LOST: StorageError = StorageError(
    412,
    "LeaseNotPresentWithBlobOperation",
    "A lease ID was specified, but the lease for the blob has expired.",
);
pub(super) const NO_AUTHENTICATION: StorageError = StorageError(
    401,
    "NoAuthenticationInformation",
    "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
);
pub(super) const INVALID_AUTHENTICATION: StorageError = StorageError(
    401,
    "InvalidAuthenticationInfo",
    "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
);
pub(super) const AUTHENTICATION_FAILED: StorageError = StorageError(
    403,
    "AuthenticationFailed",
    "Server failed to authenticate the request. Make sure the value of the Authorization header is formed correctly \
     including the signature.",
);
pub(super) const AUTHORIZATION_FAILURE: StorageError = StorageError(
    403,
    "AuthorizationFailure",
    "Server failed to authenticate the request. Make sure the value of the Authorization header is formed correctly \
     including the signature.",
);
pub(super) const PERMISSION_MISMATCH: StorageError = StorageError(
    403,
    "AuthorizationPermissionMismatch",
    "This request is not authorized to perform this operation using this permission.",
);
pub(super) const RESOURCE_TYPE_MISMATCH: StorageError = StorageError(
    403,
    "AuthorizationResourceTypeMismatch",
    "This request is not authorized to perform this operation using this resource type.",
);
pub(super) const NOT_IMPLEMENTED: StorageError = StorageError(
    501,
    "NotImplemented",
    "This fake does not implement the requested operation.",
);

impl StorageError {
    pub(super) fn response(self, now: SystemTime) -> Response<Bytes> {
        let StorageError(status, code, text) = self;
        response(
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            text,
            now,
        )
    }
}

/// An error answer with a code of the caller's.
pub(super) fn response(status: StatusCode, code: &str, text: &str, now: SystemTime) -> Response<Bytes> {
    let time = httpdate::fmt_http_date(now);
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Error><Code>{code}</Code><Message>{text}\nTime:{time}</Message></Error>"
    );
    // A 304 has no body.
    let body = if status == StatusCode::NOT_MODIFIED {
        String::new()
    } else {
        body
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    if let Ok(code) = HeaderValue::from_str(code) {
        headers.insert("x-ms-error-code", code);
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge =
            "Bearer authorization_uri=https://login.microsoftonline.com/ resource_id=https://storage.azure.com";
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}
