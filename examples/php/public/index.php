<?php
// A page by a template of Twig, which is compiled for each request here: a site of your own gives Twig a `cache`.
declare(strict_types=1);

require __DIR__ . '/../vendor/autoload.php';

$twig = new Twig\Environment(new Twig\Loader\FilesystemLoader(__DIR__ . '/../templates'));
header('Content-Type: text/html; charset=utf-8');
echo $twig->render('page.html', [
    'worker' => getenv('HERDER_WORKER'),
    'release' => basename(dirname(__DIR__)),
    'process' => getmypid(),
]);
