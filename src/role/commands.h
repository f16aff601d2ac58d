/* commands.h: commands that work on this machine, not through the API: reset, doctor, kubeconfig,
 * backup, restore, image. */
#pragma once
int command_reset(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_kubeconfig(int argc, char **argv);
int command_backup(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_image(int argc, char **argv);
/* How to call one of them that has no options ("" for the others). */
const char *command_usage(const char *name);
