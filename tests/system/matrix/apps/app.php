<?php
// The matrix' application in PHP (see matrix.py for what it answers). PHP reads a script when it is asked for it, so a worker
// is of the release that it has preloaded, and front.php, which is of no release, calls what it finds there.
declare(strict_types=1);

function answer(): string
{
    $arrived = microtime(true);
    if ($_SERVER['SCRIPT_NAME'] === '/slow') {
        touch(getenv('RUNTIME_DIRECTORY') . '/slow-request');
        usleep(1000000);
    }
    $parent = (int) explode(' ', file_get_contents('/proc/self/stat'))[3];
    return sprintf("%s %d %d %.6f\n", basename(__DIR__), getmypid(), $parent, $arrived);
}
