#!/usr/bin/env bash
# PHP's extension msgpack 2.2.0RC2: an object that a session holds twice comes back as an array, if the session refers to
# an array twice before it.
#
# The extension writes a value that is met again as the number of its first place. After a PHP reference to an array it counts
# one place too few, so the second mention of a later object leads to the array. Neither session_encode nor session_decode
# reports anything, and the next request works with the array. serialize keeps the object, and msgpack does too while no
# reference precedes it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -q download php8.2-cli php8.2-common php8.2-msgpack=1:2.2.0~rc2-3 libxml2 libsodium23 libargon2-1 libicu72 >/dev/null 2>&1
for package in *.deb; do
    dpkg -x "$package" files
done
export LD_LIBRARY_PATH="$folder/files/usr/lib/x86_64-linux-gnu"
php=(files/usr/bin/php8.2 -n -d extension="$folder/files/usr/lib/php/20220829/msgpack.so")
cat >session.php <<'PHP'
<?php
ob_start();
function again(string $handler, bool $refers): string {
    ini_set('session.serialize_handler', $handler);
    ini_set('session.use_cookies', '0');
    ini_set('session.save_path', __DIR__);
    session_id(bin2hex(random_bytes(16)));
    session_start();
    $cart = [['sku' => 'tea', 'count' => 2]];
    $ada = new stdClass();
    $ada->name = 'ada';
    $_SESSION['cart'] = &$cart;
    if ($refers) {
        $_SESSION['shown'] = &$cart;
    } else {
        $_SESSION['shown'] = $cart;
    }
    $_SESSION['user'] = $ada;
    $_SESSION['editor'] = $ada;
    session_write_close();
    $_SESSION = [];
    session_start();
    $found = json_encode($_SESSION['editor']);
    session_destroy();
    return $found;
}
printf("msgpack %s\n", phpversion('msgpack'));
foreach ([['msgpack', false], ['php_serialize', true], ['msgpack', true]] as [$handler, $refers]) {
    printf("%s, %s: editor is %s\n", $handler, $refers ? 'cart referred to twice' : 'cart copied', again($handler, $refers));
}
PHP
"${php[@]}" --version | head -n 1
"${php[@]}" session.php | tee seen
expected='msgpack 2.2.0RC2
msgpack, cart copied: editor is {"name":"ada"}
php_serialize, cart referred to twice: editor is {"name":"ada"}
msgpack, cart referred to twice: editor is [{"sku":"tea","count":2}]'
[ "$(cat seen)" = "$expected" ]
