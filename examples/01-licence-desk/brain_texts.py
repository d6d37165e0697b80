"""The sentences by which a licence text is known.

For each licence the sentences that no other has, and those without which it is not that licence: all must be in a text,
word for word, whatever the line breaks, the quotes and the comment signs around it. A text that was altered in one of
them is no longer the licence and stays unknown. `LIMITS` are sentences that take back what a short licence gives; with
one of them a text is not the licence it looks like. Which words mean what is left to `spdx`.
"""

SENTENCES: dict[str, tuple[str, ...]] = {
    "MIT": (
        "Permission is hereby granted, free of charge, to any person obtaining a copy of",
        "to deal in the Software without restriction, including without limitation the rights to use, copy, modify,"
        " merge, publish, distribute, sublicense, and/or sell copies of the Software",
        "The above copyright notice and this permission notice shall be included in all copies or substantial portions"
        " of the Software",
        'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND',
    ),
    "MIT-0": (
        "Permission is hereby granted, free of charge, to any person obtaining a copy of",
        "copies of the Software, and to permit persons to whom the Software is furnished to do so. THE SOFTWARE IS"
        ' PROVIDED "AS IS"',
    ),
    "BSD-2-Clause": (
        "Redistribution and use in source and binary forms, with or without modification, are permitted provided that",
        "Redistributions of source code must retain the above copyright notice, this list of conditions and the"
        " following disclaimer",
        "Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the"
        " following disclaimer in the documentation and/or other materials provided with the distribution",
        "WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT",
    ),
    "ISC": (
        "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby"
        " granted, provided that the above copyright notice and this permission notice appear in all copies",
        "THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE",
    ),
    "0BSD": (
        "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby"
        " granted. THE SOFTWARE IS PROVIDED",
    ),
    "Apache-2.0": (
        "Apache License Version 2.0, January 2004",
        "each Contributor hereby grants to You a perpetual, worldwide, non-exclusive, no-charge, royalty-free,"
        " irrevocable copyright license to reproduce, prepare Derivative Works of",
        "You must cause any modified files to carry prominent notices stating that You changed the files",
        "This License does not grant permission to use the trade names, trademarks, service marks, or product names of"
        " the Licensor",
    ),
    "GPL-2.0-only": (
        "GNU GENERAL PUBLIC LICENSE Version 2, June 1991",
        "You must cause any work that you distribute or publish, that in whole or in part contains or is derived from"
        " the Program or any part thereof, to be licensed as a whole at no charge to all third parties",
        "You may not impose any further restrictions on the recipients' exercise of the rights granted herein",
    ),
    "GPL-3.0-only": (
        "GNU GENERAL PUBLIC LICENSE Version 3, 29 June 2007",
        "You must license the entire work, as a whole, under this License to anyone who comes into possession of",
        "Nothing in this License shall be construed as excluding or limiting any implied license",
        "Use with the GNU Affero General Public License",
    ),
    "AGPL-3.0-only": (
        "GNU AFFERO GENERAL PUBLIC LICENSE Version 3, 19 November 2007",
        "You must license the entire work, as a whole, under this License to anyone who comes into possession of",
        "version must prominently offer all users interacting with it remotely through a computer network",
    ),
    "LGPL-2.0-only": (
        "GNU LIBRARY GENERAL PUBLIC LICENSE Version 2, June 1991",
        'linked with it, is called a "work that uses the Library"',
    ),
    "LGPL-2.1-only": (
        "GNU LESSER GENERAL PUBLIC LICENSE Version 2.1, February 1999",
        'linked with it, is called a "work that uses the Library"',
        "You must cause the whole of the work to be licensed at no charge to all third parties under the terms of this"
        " License",
    ),
    "LGPL-3.0-only": (
        "GNU LESSER GENERAL PUBLIC LICENSE Version 3, 29 June 2007",
        "You may convey a Combined Work under terms of your choice",
        "This version of the GNU Lesser General Public License incorporates the terms and conditions of version 3 of"
        " the GNU General Public License",
    ),
    "MPL-2.0": (
        "Mozilla Public License Version 2.0",
        "All distribution of Covered Software in Source Code Form, including any Modifications that You create or to"
        " which You contribute, must be under the terms of this License",
        "Each Contributor hereby grants You a world-wide, royalty-free, non-exclusive license",
    ),
    "MPL-1.1": (
        "Mozilla Public License Version 1.1",
        "The Modifications which You create or to which You contribute are governed by the terms of this License",
    ),
    "EPL-2.0": (
        "Eclipse Public License - v 2.0",
        "THE ACCOMPANYING PROGRAM IS PROVIDED UNDER THE TERMS OF THIS ECLIPSE PUBLIC LICENSE",
    ),
    "PSF-2.0": (
        "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2",
        'This LICENSE AGREEMENT is between the Python Software Foundation ("PSF"), and the Individual or Organization',
        "PSF hereby grants Licensee a nonexclusive, royalty-free, world-wide license to reproduce, analyze, test,"
        " perform and/or display publicly, prepare derivative works, distribute",
    ),
    "Unlicense": (
        "This is free and unencumbered software released into the public domain",
        "Anyone is free to copy, modify, publish, use, compile, sell, or distribute this software",
    ),
    "CC0-1.0": (
        "CC0 1.0 Universal",
        "Affirmer hereby overtly, fully, permanently, irrevocably and unconditionally waives, abandons, and surrenders"
        " all of Affirmer's Copyright and Related Rights",
    ),
    "Zlib": (
        "Permission is granted to anyone to use this software for any purpose, including commercial applications, and"
        " to alter it and redistribute it freely, subject to the following restrictions",
        "The origin of this software must not be misrepresented; you must not claim that you wrote the original",
        "This notice may not be removed or altered from any source distribution",
    ),
    "BSL-1.0": (
        "Boost Software License - Version 1.0 - August 17th, 2003",
        "Permission is hereby granted, free of charge, to any person or organization obtaining a copy of the software",
        "machine-executable object code generated by a source language processor",
    ),
    "Artistic-1.0-Perl": (
        'The "Artistic License" Preamble',
        "The intent of this document is to state the conditions under which a Package may be copied",
    ),
}

ENDORSEMENT = (
    "endorse or promote products derived from this software without specific prior written permission",
    "endorse or promote products derived from this software without specific, written prior permission",
)
"""Either of them makes a BSD-2-Clause a BSD-3-Clause."""

ADVERTISING = "All advertising materials mentioning features or use of this software must display"
"""It makes a BSD-3-Clause a BSD-4-Clause."""

LIMITS = (
    "shall be used for Good, not Evil",
    "Commons Clause",
    "for non-commercial",
    "for noncommercial",
    "not for commercial use",
    "commercial use is prohibited",
    "may not be sold",
    "does not include, the right to Sell",
    "for research purposes only",
    "for evaluation purposes only",
    "for internal use only",
)

NOTICES: dict[str, tuple[str, ...]] = {
    "Apache-2.0": ("Licensed under the Apache License, Version 2.0",),
    "MPL-2.0": ("This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0",),
}
"""What authors write at the head of their files instead of the whole text; it counts where no whole text is."""
