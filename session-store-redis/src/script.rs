//! The scripts that compare and change a record in one step on the server.
//!
//! The record's own deadline and the caller's clock decide whether a record is live. The caller's time is an argument,
//! because the server's clock may be wrong. Revisions are compared as strings of eight bytes, because a Lua number
//! cannot hold 64 bits. Deadlines are numbers, exact up to 2^53 ms, the year 287396.

use redis::{Cmd, RedisWrite, Script, ToRedisArgs};
use session_core::Record;

use crate::layout::Stored;

/// Answers a conflict with the live value, or with 2 if the value is longer than a [`PART`](crate::parts::PART), which the
/// driver then reads in parts.
macro_rules! conflict {
    () => {
        "if redis.call('STRLEN', KEYS[1]) > 1048593 then return 2 end
return redis.call('GET', KEYS[1])
"
    };
}

/// Prepends the code that reads `revision` and `live` of the record under `KEYS[1]` at the time `ARGV[1]`.
macro_rules! with_head {
    ($($rest:tt)*) => {
        concat!(
            "local head = redis.call('GETRANGE', KEYS[1], '0', '16')
local live = false
local revision = ''
local deadline
if #head > 0 or redis.call('GET', KEYS[1]) then
  if #head < 17 or string.byte(head) ~= 1 then
    return redis.error_reply('SKDAMAGED not a record of session-kit')
  end
  local a, b, c, d, e, f, g, h = string.byte(head, 10, 17)
  deadline = ((((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g) * 256 + h
  live = deadline > tonumber(ARGV[1])
  if live then revision = string.sub(head, 2, 9) end
end
",
            $($rest)*
        )
    };
}

/// `ARGV`: now, expected, offered, value, time to live.
///
/// `expected` is a revision, or empty for `Absent`, or `any` for a removal without a condition. An empty `value`
/// removes. Answers 1 for an applied change; for a conflict, the live value, 2 for a large one, or nil.
const CHANGE: &str = with_head!(
    "if ARGV[2] == 'any' and not live then return false end
if ARGV[2] == 'any' or revision == ARGV[2] then
  if ARGV[4] == '' then
    redis.call('DEL', KEYS[1])
  elseif ARGV[5] == '' then
    redis.call('SET', KEYS[1], ARGV[4])
  else
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
  end
  return 1
end
if not live then return false end
if revision == ARGV[3] then return 1 end
",
    conflict!()
);

/// Replaces the record whose head the caller has loaded and found live. `ARGV`: the head, value, time to live (missing
/// for none). Answers 1, or nil and changes nothing.
///
/// Most stores need no more, so this script has no other case: every argument and every call of a command costs. The
/// locals and the bounds as text save a tenth of its time: Lua looks up each global by name, and the server prints each
/// number.
const OVER: &str = "local call, key, arguments = redis.call, KEYS[1], ARGV
if call('GETRANGE', key, '0', '16') ~= arguments[1] then return false end
if arguments[3] then
  call('SET', key, arguments[2], 'PX', arguments[3])
else
  call('SET', key, arguments[2])
end
return 1
";

/// Puts the uploaded value under `KEYS[2]` in the place of the record.
///
/// The time to live comes first, because a live record must not keep that of the parts. A user may lack the right to
/// `RENAME`; then nothing remains.
macro_rules! place {
    () => {
        "if redis.call('STRLEN', KEYS[2]) ~= tonumber(ARGV[5]) then
  return redis.error_reply('SKPARTS parts of the value are gone')
end
if ARGV[4] == '' then
  redis.call('PERSIST', KEYS[2])
else
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
local done = redis.pcall('RENAME', KEYS[2], KEYS[1])
if done.err then
  redis.call('DEL', KEYS[2])
  return done
end
return 1
"
    };
}

/// `ARGV`: now, expected, offered, time to live (empty for none), length. No condition. Answers 1.
const PLACE: &str = place!();

/// As [`PLACE`], if the record has the revision `expected`, or is absent if that is empty. Answers as [`CHANGE`].
const PLACE_OVER: &str = with_head!(
    "if revision ~= ARGV[2] then
  redis.call('DEL', KEYS[2])
  if not live then return false end
  if revision == ARGV[3] then return 1 end
  ",
    conflict!(),
    "end
",
    place!()
);

/// `ARGV`: now, from, to, revision and deadline as stored, time to live (empty for none, 0 to remove). Answers 1 or
/// nil.
///
/// The time to live comes first. A full server refuses `SETRANGE` as the first write of a script, because it may
/// lengthen a value. It allows the command after `PEXPIRE` or `PERSIST`, and here the value keeps its length.
///
/// A user may have the right to `PEXPIRE` but not to `SETRANGE`. The script then restores the old time to live: with a
/// later deadline but a short time to live, Redis would remove a live record. The minute is `GRACE` of `layout.rs`.
const TOUCH: &str = with_head!(
    "if not live then return false end
if revision == ARGV[3] then return 1 end
if revision ~= ARGV[2] then return false end
if ARGV[5] == '0' then
  redis.call('DEL', KEYS[1])
  return 1
end
local function live_for(time)
  if time == '' then return redis.pcall('PERSIST', KEYS[1]) end
  return redis.pcall('PEXPIRE', KEYS[1], time)
end
local done = live_for(ARGV[5])
if type(done) == 'table' then return done end
done = redis.pcall('SETRANGE', KEYS[1], 1, ARGV[4])
if type(done) == 'table' then
  local left = deadline - tonumber(ARGV[1]) + 60000
  live_for(left < 2^52 and string.format('%.0f', left) or '')
  return done
end
return 1
"
);

/// Reads what a traversal reports of a key: the head and the length of the value.
const LOOK: &str = "return {redis.call('GETRANGE', KEYS[1], 0, 16), redis.call('STRLEN', KEYS[1])}";

/// An argument of a script.
#[derive(Clone, Copy)]
pub(crate) enum Argument<'a> {
    Text(&'a [u8]),
    Record(&'a Record),
}

impl Argument<'_> {
    fn len(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Record(record) => Stored(record).len(),
        }
    }
}

impl ToRedisArgs for Argument<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Text(text) => out.write_arg(text),
            Self::Record(record) => Stored(record).write_redis_args(out),
        }
    }
}

/// A script and its hash.
pub(crate) struct Known {
    source: &'static str,
    hash: String,
}

impl Known {
    /// The command that runs the script on keys of one slot.
    pub(crate) fn by_hash(&self, keys: &[&[u8]], arguments: &[Argument<'_>]) -> Cmd {
        Self::call("EVALSHA", &self.hash, keys, arguments)
    }

    /// As [`by_hash`](Self::by_hash), for a server that does not know the script yet.
    pub(crate) fn by_source(&self, keys: &[&[u8]], arguments: &[Argument<'_>]) -> Cmd {
        Self::call("EVAL", self.source, keys, arguments)
    }

    fn call(command: &str, script: &str, keys: &[&[u8]], arguments: &[Argument<'_>]) -> Cmd {
        let keys_length = keys.iter().map(|key| key.len()).sum::<usize>();
        let length = keys_length + arguments.iter().map(|argument| argument.len()).sum::<usize>();
        let words = 3 + keys.len() + arguments.len();
        let mut call = Cmd::with_capacity(words, command.len() + script.len() + length + 1);
        call.arg(command).arg(script).arg(keys.len());
        for key in keys {
            call.arg(*key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        call
    }
}

/// The scripts of a store.
pub(crate) struct Scripts {
    pub(crate) change: Known,
    pub(crate) over: Known,
    pub(crate) place: Known,
    pub(crate) place_over: Known,
    pub(crate) touch: Known,
    pub(crate) look: Known,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let known = |source| Known { source, hash: Script::new(source).get_hash().to_owned() };
        Self {
            change: known(CHANGE),
            over: known(OVER),
            place: known(PLACE),
            place_over: known(PLACE_OVER),
            touch: known(TOUCH),
            look: known(LOOK),
        }
    }
}
