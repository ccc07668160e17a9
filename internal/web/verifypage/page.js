'use strict';
// The page: takes files, tells the worker what to check, and shows what it found. Everything that comes from a file is
// set as text, never as markup.
(() => {
  const el = (id) => document.getElementById(id);
  const kinds = ['report', 'record', 'attestation', 'keys'];
  const hints = Object.fromEntries(kinds.map((k) => [k, el('have-' + k).querySelector('.file').textContent]));
  const most = { report: 16 << 20, attestation: 1 << 20, keys: 1 << 20, record: 1 << 30 };
  let have = {};
  let worker = null;

  // The judge is megabytes of text: out of the document with it, so that tools which look at the page stay quick.
  const data = {};
  for (const id of ['worker', 'judge']) {
    data[id] = JSON.parse(el(id).textContent);
    el(id).remove();
  }
  const decode = (id) => {
    const text = atob(data[id]);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  };

  // kindOf looks at how a file begins; names decide nothing.
  async function kindOf(file) {
    const head = new Uint8Array(await file.slice(0, 65536).arrayBuffer());
    if (head[0] === 0x1f && head[1] === 0x8b) return 'record';
    const text = new TextDecoder().decode(head);
    if (/^\s*\{"at":/.test(text)) return 'record';
    if (/^\s*\{/.test(text)) return /"payloadType"/.test(text) && !/"test_case"/.test(text) ? 'attestation' : 'report';
    if (/-----BEGIN |(^|\s)(ssh|ecdsa|sk)-/.test(text)) return 'keys';
    return '';
  }

  function fail(message) {
    el('error').textContent = message;
    el('error').hidden = !message;
  }

  async function take(files) {
    fail('');
    for (const file of files) {
      let kind = '';
      try {
        kind = await kindOf(file);
      } catch {
        fail(`${file.name} cannot be read.`);
        continue;
      }
      if (!kind) {
        fail(`${file.name} is neither a report, a record, an attestation nor a public key.`);
      } else if (file.size > most[kind]) {
        fail(`${file.name} has ${Math.ceil(file.size / 2 ** 20)} MiB; this page takes ${most[kind] / 2 ** 20} MiB of such a file. mixtral report verify takes more.`);
      } else {
        have[kind] = file;
      }
    }
    show();
  }

  function show() {
    for (const k of kinds) {
      el('have-' + k).classList.toggle('there', !!have[k]);
      el('have-' + k).querySelector('.file').textContent = have[k] ? have[k].name : hints[k];
    }
    el('go').disabled = !have.report || !have.record || !!worker;
    el('stop').hidden = !worker;
    el('result').hidden = true;
  }

  function end(state) {
    if (worker) worker.terminate();
    worker = null;
    el('state').textContent = state;
    show();
  }

  function verify() {
    fail('');
    el('state').textContent = 'reading…';
    const url = URL.createObjectURL(new Blob([decode('worker')], { type: 'text/javascript' }));
    worker = new Worker(url);
    URL.revokeObjectURL(url);
    worker.onmessage = (e) => {
      if (e.data.read !== undefined) {
        el('state').textContent = e.data.read < 1 ? `judging, ${Math.floor(100 * e.data.read)} % read…` : 'judging…';
        return;
      }
      end('');
      if (e.data.error) fail(e.data.error);
      else if (e.data.result) result(e.data.result, e.data.report);
    };
    worker.onerror = (e) => {
      e.preventDefault();
      end('');
      fail(`The judge stopped: ${e.message || 'this browser gave it no memory'}. mixtral report verify checks the same on a command line.`);
    };
    show();
    worker.postMessage({ judge: decode('judge'), files: have, key: el('key').value });
  }

  const shown = (x) => (typeof x === 'number' ? x.toLocaleString('en', { maximumSignificantDigits: 4 }) : '–');

  function fact(name, value, mono) {
    if (!value) return;
    const dt = document.createElement('dt');
    const dd = document.createElement('dd');
    dt.textContent = name;
    dd.textContent = value;
    if (mono) dd.className = 'mono';
    el('facts').append(dt, dd);
  }

  function result(r, report) {
    const signature = r.signature;
    const verdict = el('verdict');
    verdict.className = r.verified ? 'good' : 'bad';
    el('word').textContent = r.verified ? 'Verified' : 'NOT verified';
    const signers = ((signature && signature.signers) || []).map((s) => `${s.keyid} ${s.name || ''}`.trim());
    el('sentence').textContent = r.verified
      ? `${r.status} follows from ${r.event_count.toLocaleString('en')} events, byte for byte` +
        (signers.length ? `, and is signed by ${signers.join(' and ')}.` : '. Nobody’s signature was checked.')
      : r.differences.length
        ? 'The report does not follow from this record.'
        : 'The report follows from its record, but its signature is not accepted.';
    el('problems').replaceChildren(...[...r.differences, ...((signature && signature.problems) || [])].slice(0, 50).map((line) => {
      const li = document.createElement('li');
      li.textContent = line;
      return li;
    }));
    el('facts').replaceChildren();
    fact('Test case', report.test_case);
    fact('Server', [report.target && report.target.url, report.target && report.target.model].filter(Boolean).join(' · '));
    fact('Verdict', r.status + (r.derived_status === r.status ? '' : `; the record gives ${r.derived_status}`));
    fact('Record', r.missing);
    fact('Events, SHA-256', r.events_sha256, true);
    for (const s of signers) fact('Signed by', s, true);
    for (const id of (signature && signature.unknown) || []) fact('Not checked', `a signature of ${id}; its public key was not given`);
    const made = report.fingerprints && report.fingerprints.version;
    const here = document.querySelector('.end').textContent.replace('judge ', '');
    if (!r.verified && r.differences.length && made && made.split(' ')[1] !== here) { // "mixtral VERSION …"
      fact('Versions', `${made} made the report, the judge of this page is ${here}: the rules may have changed between them`);
    }
    el('checks').replaceChildren(...(Array.isArray(report.checks) ? report.checks : []).slice(0, 500).map((c) => {
      const tr = document.createElement('tr');
      for (const [i, text] of [c.verdict, c.clause || c.id, `${shown(c.measured)} ${c.unit || ''}`, typeof c.target === 'number' ? `${c.op || ''} ${shown(c.target)}` : ''].entries()) {
        const td = document.createElement('td');
        if (i === 0) {
          const v = document.createElement('span');
          v.className = 'v ' + (['PASS', 'FAIL', 'INVALID'].includes(text) ? text : '');
          v.textContent = text;
          td.append(v);
        } else {
          td.textContent = text;
        }
        if (i > 1) td.className = 'n';
        tr.append(td);
      }
      return tr;
    }));
    el('result').hidden = false;
  }

  el('files').addEventListener('change', (e) => { take([...e.target.files]); e.target.value = ''; });
  el('go').addEventListener('click', verify);
  el('stop').addEventListener('click', () => end('stopped'));
  el('clear').addEventListener('click', () => { have = {}; el('key').value = ''; fail(''); end(''); });
  for (const kind of ['dragover', 'drop', 'dragleave']) {
    document.addEventListener(kind, (e) => {
      e.preventDefault();
      el('drop').classList.toggle('over', kind === 'dragover');
      if (kind === 'drop' && e.dataTransfer && e.dataTransfer.files.length) take([...e.dataTransfer.files]);
    });
  }
  show();
})();
