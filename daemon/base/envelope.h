/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An envelope: a socket in which an open file lies.
 *
 * To close an open file is to ask its file system (flush), which need not answer: a FUSE server, or
 * an overlay, which does not show that it stands on one. That is asked in whichever process closes
 * a descriptor of the file, be it the last one or not; also where a fork of it ends. The loop must
 * not be that process. Nor need it, as it never reads the file: it passes on, keeps and closes an
 * envelope, and to close a socket asks nobody. Only where it is the last of the envelope the file
 * is let go (release), and that may take what flush may; see pp_reader_discard.
 */
#pragma once

/* A new envelope with a file in it; fd stays the caller's, to be closed. Returns the envelope. */
int pp_envelope_new(int fd);
/* A descriptor of the file, any number of times. -ENOTSOCK: this is no envelope. */
int pp_envelope_open(int envelope);
