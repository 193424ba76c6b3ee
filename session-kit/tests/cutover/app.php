<?php
// The old application: PHP's built-in server runs this script for each request.
session_start();
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/login':
        session_regenerate_id(true);
        $_SESSION['user'] = 'alice';
        $_SESSION['tea'] = 2;
        echo 'in';
        break;
    case '/who':
        echo $_SESSION['user'] ?? 'nobody';
        break;
}
