/* agent_process.h: the child that is the node: pods, network, devices (hidden role agent-process).
 */
#pragma once
int agent_process_main(int argc, char **argv);
