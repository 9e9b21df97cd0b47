// The message on standard input, as tests/oracle/fields.py reads it.

const fs = require('node:fs');

const letter = JSON.parse(fs.readFileSync(0, 'utf8'));

/** `Name <address>`, the name in quotes where it has more than words. */
function text({ name, address }) {
  if (name === '') return address;
  const words = /^[\p{L}\p{N} !#$%&'*+/=?^_`{|}~-]*$/u.test(name);
  const shown = words ? name : `"${name.replace(/["\\]/g, '\\$&')}"`;
  return `${shown} <${address}>`;
}

/** Calls `send` with the message and the server's URL; a failure ends the process with it. */
function run(send) {
  send(letter, process.argv[2]).catch((error) => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = { run, text };
