/* SPDX-License-Identifier: GPL-2.0-only */
/* A C program that runs Python in between: embed.c SOURCE. */
#include <Python.h>

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	Py_Initialize();
	return PyRun_SimpleString(argv[1]) ? 1 : 0;
}
