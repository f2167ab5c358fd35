// nodemailer: messages over one connection, with STARTTLS, and what is refused.
const nodemailer = require('nodemailer');

const [host, port] = process.argv.slice(2);
const pool = nodemailer.createTransport({
  host,
  port: Number(port),
  name: 'client.test',
  pool: true,
  maxConnections: 1,
  tls: { rejectUnauthorized: false },
});

async function main() {
  const sent = [];
  for (let number = 0; number < 12; number += 1) {
    sent.push(pool.sendMail({
      from: 'a@sender.test',
      to: 'user@example.test, nobody@example.test',
      subject: `number ${number}`,
      text: '.dot\nbody\n',
      dsn: { id: `id=${number}`, return: 'headers', notify: 'failure' },
    }));
  }
  for (const info of await Promise.all(sent)) {
    console.log(info.accepted, info.rejected, info.response.replace(/as .*/, 'as ID'));
  }
  try {
    await pool.sendMail({ from: 'a@sender.test', to: 'far@away.test', text: 'x' });
  } catch (error) {
    console.log(error.code, error.responseCode, error.response);
  }
  pool.close();
}

main();
