# Writes cookies with Active Support, one per line: name, protection, the cookie's value, the JSON of the session.
# With the argument "read" it reads such lines back and prints what Rails finds in them.
require "active_support"
require "active_support/key_generator"
require "active_support/message_encryptor"
require "active_support/message_verifier"
require "active_support/json"
require "active_support/core_ext/integer/time"
require "cgi"

SECRET = "0123456789abcdef" * 4
GENERATOR = ActiveSupport::KeyGenerator.new(SECRET, iterations: 1000)
NULL = ActiveSupport::MessageEncryptor::NullSerializer

def jar(protection, digest)
  case protection
  when "gcm"
    key = GENERATOR.generate_key("authenticated encrypted cookie", 32)
    ActiveSupport::MessageEncryptor.new(key, cipher: "aes-256-gcm", serializer: NULL)
  when "cbc"
    key = GENERATOR.generate_key("encrypted cookie", 32)
    sign = GENERATOR.generate_key("signed encrypted cookie")
    ActiveSupport::MessageEncryptor.new(key, sign, cipher: "aes-256-cbc", digest: digest, serializer: NULL)
  else
    ActiveSupport::MessageVerifier.new(GENERATOR.generate_key("signed cookie"), digest: digest, serializer: NULL)
  end
end

SESSIONS = [
  { "user" => "alice", "n" => 3, "f" => 1.5, "none" => nil, "t" => true, "l" => [1, "2", [], {}] },
  { "html" => "<b>&\u2028\u2029", "u" => "h\u00e9\u20ac\u{1F600}", "ctl" => "\u0000\u0001\b\f\n\r\t\u001f\u007f\"\\/", "" => "" },
  { "big" => 2**80, "neg" => -(2**63), "small" => 1.0e-5, "large" => 1.0e25, "edge" => 1.0e16, "whole" => 100.0, "zero" => -0.0 },
  {},
]

if ARGV[0] == "read"
  STDIN.each_line(chomp: true) do |line|
    protection, digest, value = line.split("\t")
    jar = jar(protection, digest)
    value = CGI.unescape(value)
    # Like a cookie jar: with the purpose, and where that gives nothing without one.
    text = [{ purpose: "cookie._app_session" }, {}].lazy.filter_map do |options|
      protection == "signed" ? jar.verified(value, **options) : jar.decrypt_and_verify(value, **options)
    rescue ActiveSupport::MessageEncryptor::InvalidMessage
      nil
    end.first
    puts text
  end
else
  [["gcm", "SHA1"], ["cbc", "SHA1"], ["cbc", "SHA256"], ["signed", "SHA1"], ["signed", "SHA256"]].each do |protection, digest|
    SESSIONS.each do |session|
      [{}, { purpose: "cookie._app_session" }, { purpose: "cookie._app_session", expires_in: 3600 }].each do |options|
        json = ActiveSupport::JSON.encode(session)
        jar = jar(protection, digest)
        value = protection == "signed" ? jar.generate(json, **options) : jar.encrypt_and_sign(json, **options)
        puts [protection, digest, CGI.escape(value), json].join("\t")
      end
    end
  end
end
