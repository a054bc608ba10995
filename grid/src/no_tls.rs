//! What stands for [`Tls`] without the feature `tls`: nobody has any.

use std::io;

use crate::rt::BoxIo;

#[derive(Debug, Clone)]
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn has_identity(&self) -> bool {
        match *self {}
    }

    pub(crate) fn requires_identity(&self) -> bool {
        match *self {}
    }

    pub(crate) fn identifies(&self, _host: &str) -> bool {
        match *self {}
    }

    pub(crate) async fn connect(&self, _host: &str, _io: BoxIo) -> io::Result<BoxIo> {
        match *self {}
    }

    pub(crate) async fn accept(&self, _io: BoxIo) -> io::Result<(BoxIo, Option<Certificate>)> {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum Certificate {}

impl Certificate {
    pub(crate) fn is_for(&self, _host: &str) -> bool {
        match *self {}
    }

    pub(crate) fn name(&self) -> Option<String> {
        match *self {}
    }
}

pub(crate) fn is_distrust(_error: &io::Error) -> bool {
    false
}
