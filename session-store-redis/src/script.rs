//! What the server does in one step: compare and change.
//!
//! Whether a record is live is decided by its own deadline and the caller's clock, which is an argument: the server's
//! clock may be wrong, and decides nothing. Revisions are compared as strings of eight bytes, for a Lua number cannot
//! hold 64 bits; deadlines are numbers, exact up to 2^53 ms, the year 287396.

use redis::{Cmd, Script};

/// Reads `revision` and `live` of the record under `KEYS[1]`, at the moment `now`.
macro_rules! with_head {
    ($rest:literal) => {
        concat!(
            "local head = redis.call('GETRANGE', KEYS[1], 0, 16)
local live = false
local revision = ''
if #head > 0 then
  if #head < 17 or string.byte(head) ~= 1 then
    return redis.error_reply('SKDAMAGED not a record of session-kit')
  end
  local a, b, c, d, e, f, g, h = string.byte(head, 10, 17)
  local deadline = ((((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g) * 256 + h
  live = deadline > tonumber(ARGV[1])
  if live then revision = string.sub(head, 2, 9) end
end
",
            $rest
        )
    };
}

/// `ARGV`: now, expected, offered, value, time to live.
///
/// `expected` is the revision that must be live, empty where nothing must be, and `any`. An empty `value` removes. The
/// answer is 1 where something live was there, 2 where it was not; on a conflict, what is live.
const CHANGE: &str = with_head!(
    "if ARGV[2] == 'any' or revision == ARGV[2] then
  if ARGV[4] == '' then
    redis.call('DEL', KEYS[1])
  elseif ARGV[5] == '' then
    redis.call('SET', KEYS[1], ARGV[4])
  else
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
  end
  return live and 1 or 2
end
if not live then return false end
if revision == ARGV[3] then return 1 end
return redis.call('GET', KEYS[1])
"
);

/// `ARGV`: now, from, to, revision and deadline as they stand in the value, time to live (empty for none, 0 for
/// gone). The answer is 1 or 0.
///
/// The user may have the right to `SETRANGE` and none to `PEXPIRE`: then the head is put back, for a deadline that was
/// moved without the engine's knowing of it would be a record that is collected while it lives.
const TOUCH: &str = with_head!(
    "if not live then return 0 end
if revision == ARGV[3] then return 1 end
if revision ~= ARGV[2] then return 0 end
if ARGV[5] == '0' then
  redis.call('DEL', KEYS[1])
  return 1
end
redis.call('SETRANGE', KEYS[1], 1, ARGV[4])
local done
if ARGV[5] == '' then
  done = redis.pcall('PERSIST', KEYS[1])
else
  done = redis.pcall('PEXPIRE', KEYS[1], ARGV[5])
end
if type(done) == 'table' and done.err then
  redis.call('SETRANGE', KEYS[1], 0, head)
  return done
end
return 1
"
);

/// What a traversal says of a key: the head, and the length of the whole, of one moment.
const LOOK: &str = "return {redis.call('GETRANGE', KEYS[1], 0, 16), redis.call('STRLEN', KEYS[1])}";

/// A script, and the hash by which the server knows it.
pub(crate) struct Known {
    pub(crate) source: &'static str,
    pub(crate) hash: String,
}

impl Known {
    /// The command that runs the script on a key, named by its hash or as a whole.
    pub(crate) fn call(&self, command: &str, script: &str, key: &[u8], arguments: &[&[u8]]) -> Cmd {
        let length =
            script.len() + key.len() + arguments.iter().map(|argument| argument.len()).sum::<usize>();
        let mut call = Cmd::with_capacity(4 + arguments.len(), command.len() + length + 1);
        call.arg(command).arg(script).arg(1).arg(key);
        for argument in arguments {
            call.arg(*argument);
        }
        call
    }
}

/// The scripts of a store.
pub(crate) struct Scripts {
    pub(crate) change: Known,
    pub(crate) touch: Known,
    pub(crate) look: Known,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let known = |source| Known { source, hash: Script::new(source).get_hash().to_owned() };
        Self { change: known(CHANGE), touch: known(TOUCH), look: known(LOOK) }
    }
}
