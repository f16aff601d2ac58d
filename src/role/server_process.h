/* server_process.h: the child that is API server, store, controllers and scheduler (hidden role
 * server-process). */
#pragma once
int server_process_main(int argc, char **argv);
